"""A stand-in for Windows' `wsl.exe`: it reads the real program's arguments, speaks as that does, and runs things."""

import sys

WSL = r"""#!{python} -SE
import os, sys

HOME, DRIVE = {home!r}, {drive!r}
NAMES = ("box", "Ubuntu-24.04")
MISSING = "There is no distribution with the supplied name.\nError code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND\n"


def say(text, code):
    sys.stdout.buffer.write(text.replace("\n", "\r\n").encode("utf-16-le"))  # on the standard output, without a mark
    sys.exit(code)


words, name, user, folder = sys.argv[1:], NAMES[0], os.environ.get("USER", "root"), HOME
while words:
    word = words.pop(0)
    if word in ("-d", "--distribution"):
        name = words.pop(0)
    elif word in ("-u", "--user"):
        user = words.pop(0)
    elif word == "--cd":
        folder = words.pop(0)
    elif word in ("-l", "--list"):
        say("  NAME            STATE      VERSION\n" + "".join(f"  {{n}}  Running  2\n" for n in NAMES), 0)
    elif word in ("-e", "--exec"):
        break
    else:
        say(f"Invalid command line argument: {{word}}\nPlease use 'wsl.exe --help'.\n", 255)
if name not in NAMES:
    say(MISSING, 255)
os.chdir(folder)
env = {{"HOME": HOME, "USER": user, "PATH": os.path.dirname(DRIVE) + "/inside:/usr/bin:/bin", "WSL_DISTRO_NAME": name}}
os.execvpe(words[0], words, env)
"""
WSLPATH = r"""#!{python} -SE
import sys

_, option, path = sys.argv
assert option == "-u" and path[:3] in ("C:\\", "C:/"), path
print({drive!r} + "/" + path[3:].replace("\\", "/"))
"""


def stand_in(base):
    """The folder of PATH in which the program lies; drive C: of this Windows is `base/drive`, not below /mnt."""
    words = {"python": sys.executable, "home": str(base / "home"), "drive": str(base / "drive")}
    for name, text in (("bin/wsl.exe", WSL), ("inside/wslpath", WSLPATH)):
        (base / name).parent.mkdir(parents=True)
        (base / name).write_text(text.format(**words))
        (base / name).chmod(0o755)
    (base / "home").mkdir()
    (base / "drive").mkdir()
    return base / "bin"
