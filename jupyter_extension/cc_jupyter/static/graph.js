// The server's picture of a graph, put in once; later only colours, symbols and texts change where they stand.

import { text } from "./api.js";
import { canvas, SYMBOLS } from "./dom.js";
import { say } from "./say.js";

const KNOWN = "svg, g, title, path, polygon, polyline, ellipse, text"; // nothing else of a picture is shown
const SYMBOL = new RegExp(`^[${Object.values(SYMBOLS).join("")}](?= )`);

export class Graph {
  // `pick(name)` is called for a node that is clicked; `open(name)` tells if a group is ("true", "false"), or false.
  constructor(pick, open = () => false) {
    Object.assign(this, { pick, open, nodes: new Map(), states: new Map(), next: 0 });
    Object.assign(this, canvas());
  }

  // Ask for the picture: at once, or as soon as it is no burden, for it is asked for again while things change.
  load(parts, query, now = true) {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const begun = performance.now();
      try { this.put(await text(parts, query)); }
      catch (trouble) { if (!this.nodes.size) say(trouble.message, "wrong", trouble.hint); }
      this.next = performance.now() + Math.max(600, 4 * (performance.now() - begun));
    }, now ? 0 : Math.max(0, this.next - performance.now()));
  }

  put(picture) {
    const svg = document.adoptNode(new DOMParser().parseFromString(picture, "image/svg+xml").documentElement);
    svg.querySelectorAll(`:not(${KNOWN})`).forEach((odd) => odd.remove());
    const named = (node) => node.querySelector("title").textContent.replace(/: \w+(\n.*)?$/s, "");
    const nodes = new Map([...svg.querySelectorAll("g.node")].map((node) => [named(node), node]));
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
    this.paint(this.states);
  }

  renew(svg, nodes) {
    this.nodes = nodes;
    svg.querySelector(":scope > g > polygon")?.remove(); // the ground
    for (const [name, node] of nodes) {
      const pick = (event) => { event.preventDefault(); this.pick(name); };
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", "button");
      node.addEventListener("click", pick);
      node.addEventListener("keydown", (event) => { if ("Enter ".includes(event.key)) pick(event); });
      node.querySelectorAll(":not([fill=none], text)").forEach((part) => part.classList.add("face"));
    }
    svg.setAttribute("aria-label", "The jobs in their order; the table says the same");
    this.element.classList.toggle("wide", svg.viewBox.baseVal.width > 640); // points; too small beside a table
    this.frame.classList.toggle("many", nodes.size > 200);
    this.frame.replaceChildren(svg);
  }

  // Colour each node by its state: a map from name to state.
  paint(states) {
    this.states = states;
    for (const [name, node] of this.nodes) {
      const state = states.get(name) || "ready", open = this.open(name), look = `node ${state} ${open ? "group" : ""}`;
      if (this.looks.get(name) === look + open) continue;
      this.looks.set(name, look + open);
      const words = node.querySelector("text"), told = words?.textContent.replace(SYMBOL, SYMBOLS[state]);
      if (told && told !== words.textContent) words.textContent = told;
      node.setAttribute("class", look);
      node.ariaLabel = node.querySelector("title").textContent = `${name}: ${state}`;
      node.ariaExpanded = open || null;
    }
  }
}
