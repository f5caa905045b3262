// What the page says to its reader for a moment, and work that a click begins.

import { button, make } from "./dom.js";

export function say(text, look = "", hint = "") {
  const note = make("p", { class: look }, make("span", {}, text, hint && make("small", {}, hint)),
    button("×", () => note.remove(), "", { "aria-label": "Dismiss" }));
  document.getElementById("said").replaceChildren(note);
  if (!look) setTimeout(() => note.remove(), 6000);
}
// Tells a refusal; that the server is away only until it answers again.
export function complain({ status, problems = [], message, hint }) {
  const told = problems.map(({ line, column, message: what }) => `${line}:${column}: ${what}`).join("; ");
  say(told || message, status === 0 ? "wrong away" : "wrong", hint);
}
export const back = () => document.querySelector("#said .away")?.remove();
// Does what a button asks for; a refusal is told, and nothing is asked twice at once.
export const doing = (work) => async (event) => {
  const own = event?.currentTarget instanceof HTMLButtonElement ? event.currentTarget : {};
  own.disabled = true;
  try { return await work(event); }
  catch (trouble) { return complain(trouble); }
  finally { own.disabled = false; }
};
// Work that is done now and again: soon if it says that much is going on, and not while nobody looks.
export function repeat(work) {
  const again = async () => setTimeout(again, document.hidden || (await work().catch(() => true)) ? 2000 : 10000);
  setTimeout(again, 2000);
  return work();
}
