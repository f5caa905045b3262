// A slider over the events of a run, by hand or by itself: the page shows the run as it was.

import { button, clock, make } from "./dom.js";

export class Replay {
  constructor(store) {
    this.store = store;
    this.slider = make("input", { type: "range", min: 0, "aria-label": "Replay",
      oninput: () => this.jump(this.slider.valueAsNumber) });
    this.when = make("output");
    this.now = button("Now", () => this.jump(null), "quiet");
    const play = button("▶ Replay", () => this.play(), "quiet");
    this.element = make("div", { class: "replay" }, play, this.slider, this.when, this.now);
  }

  jump(count) {
    clearInterval(this.timer);
    this.store.replay(count);
  }

  play() {
    const { store } = this, step = Math.ceil(store.events.length / 200);
    this.jump(store.at === null || store.at >= store.events.length ? 0 : store.at);
    this.timer = setInterval(() => {
      if (store.at >= store.events.length) clearInterval(this.timer);
      else store.replay(Math.min(store.events.length, store.at + step));
    }, 120);
  }

  draw({ live, events }) {
    const many = this.store.events.length;
    this.slider.max = many;
    this.slider.value = live ? many : events.length;
    this.when.textContent = live ? "" : `the past: ${clock(events.at(-1)?.at)} event ${events.length} of ${many}`;
    this.now.hidden = live;
  }
}
