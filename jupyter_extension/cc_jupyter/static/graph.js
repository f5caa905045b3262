// The server's picture of a graph, put in once; later only colours, symbols and texts change where they stand: of each
// job together, as the next picture has them. Only a graph that is too large for many pictures is coloured before.

import { text } from "./api.js";
import { canvas, SYMBOLS } from "./dom.js";
import { complain } from "./say.js";

const KNOWN = "svg, g, title, path, polygon, polyline, ellipse, text"; // nothing else of a picture is shown
const TITLE = /^(.*?): (\w+)(\n.*)?$/s, MANY = 200;
const SYMBOL = new RegExp(`^[${Object.values(SYMBOLS).join("")}](?= )`);

export class Graph {
  // `pick(name)` is called for a node that is clicked; `open(name)` tells if a group is ("true", "false"), or false.
  constructor(pick, open = () => false) {
    Object.assign(this, { pick, open, nodes: new Map(), states: new Map(), next: 0 });
    Object.assign(this, canvas());
  }

  // Ask for the picture: at once, or as soon as it is no burden; while one is on its way the newest wish waits.
  load(parts, query, now = true) {
    clearTimeout(this.timer);
    this.wish = [parts, query];
    if (!this.busy) this.timer = setTimeout(() => this.fetch(this.wish), now ? 0 : this.next - performance.now());
  }

  async fetch(wish) {
    const begun = performance.now();
    this.busy = true;
    try { this.put(await text(...wish)); }
    catch (trouble) { if (!this.nodes.size) complain(trouble); }
    this.busy = false;
    this.next = performance.now() + Math.max(100, 4 * (performance.now() - begun));
    if (wish !== this.wish) this.load(...this.wish, false);
  }

  put(picture) {
    const svg = document.adoptNode(new DOMParser().parseFromString(picture, "image/svg+xml").documentElement);
    svg.querySelectorAll(`:not(${KNOWN})`).forEach((odd) => odd.remove());
    const told = ({ parentNode: node, textContent: own }) => [node, ...own.match(TITLE)];
    const all = [...svg.querySelectorAll(".node > title")].map(told);
    const nodes = new Map(all.map(([node, , name]) => [name, node]));
    const texts = (node) => [...node.querySelectorAll("text")];
    const shapes = [...nodes].map(([name, node]) => [name, texts(node).length]);
    const plan = JSON.stringify([svg.getAttribute("viewBox"), shapes]);
    if (plan !== this.plan) this.renew(svg, nodes);
    else this.nodes.forEach((node, name) => {
      const news = texts(nodes.get(name)).map((own) => own.textContent);
      texts(node).forEach((old, n) => { if (old.textContent !== news[n]) old.textContent = news[n]; });
    });
    this.plan = plan;
    this.looks = new Map();
    this.drawn = new Map(all.map(([, , name, state]) => [name, state]));
    this.paint(this.states);
  }

  renew(svg, nodes) {
    const held = [...this.nodes].find(([, node]) => node === document.activeElement)?.[0]; // by who uses the keyboard
    this.nodes = nodes;
    svg.querySelector(":scope > g > polygon")?.remove(); // the ground
    for (const [name, node] of nodes) {
      const pick = (event) => { event.preventDefault(); this.pick(name); };
      Object.assign(node, { tabIndex: 0, role: "button" });
      node.addEventListener("click", pick);
      node.addEventListener("keydown", (event) => { if ("Enter ".includes(event.key)) pick(event); });
      node.querySelectorAll(":not([fill=none], text)").forEach((part) => part.classList.add("face"));
    }
    svg.setAttribute("aria-label", "The jobs in their order; the table says the same");
    this.element.classList.toggle("wide", svg.viewBox.baseVal.width > 640); // points; too small beside a table
    this.frame.classList.toggle("many", nodes.size > MANY);
    this.frame.replaceChildren(svg);
    nodes.get(held)?.focus();
  }

  // The states by name: they count before the next picture does where that takes its time.
  paint(states) {
    this.states = states;
    for (const [name, node] of this.nodes) {
      const seen = (this.nodes.size > MANY ? states : this.drawn).get(name) || "ready", open = this.open(name);
      const state = seen === "ready" && states.get(name) === "waiting" ? "waiting" : seen;
      const look = `node ${state} ${open ? "group" : ""}`;
      if (this.looks.get(name) === look + open) continue;
      this.looks.set(name, look + open);
      const words = node.querySelector("text"), told = words?.textContent.replace(SYMBOL, SYMBOLS[state] || "·");
      if (told && told !== words.textContent) words.textContent = told;
      node.setAttribute("class", look);
      node.ariaLabel = node.querySelector("title").textContent = `${name}: ${state}`;
      node.ariaExpanded = open || null;
    }
  }
}
