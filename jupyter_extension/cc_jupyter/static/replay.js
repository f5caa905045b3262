// A slider over the events of a run, by hand or by itself: the page shows the run as it was, at its right end as it is.

import { button, clock, make } from "./dom.js";
import { over } from "./store.js";

export class Replay {
  constructor(store) {
    this.store = store;
    this.slider = make("input", { type: "range", min: 0, "aria-label": "Replay",
      oninput: () => this.jump(this.slider.valueAsNumber) });
    this.when = make("output");
    const now = button("Now", () => this.jump(null), "quiet now");
    this.play = button("", () => this.jump(this.timer ? store.at : store.at ?? 0, !this.timer), "quiet");
    this.element = make("div", {}, now, this.when, this.play, this.slider);
  }

  // Show the run after `count` events, and go on from there if it is `going`; after all of them it is as it is now.
  jump(count, going = false) {
    const { store } = this, many = store.events.length, past = count !== null && count < many;
    const next = () => this.jump(store.at === null ? null : count + Math.ceil(many / 200), true);
    clearTimeout(this.timer);
    this.timer = past && going && setTimeout(next, 120);
    store.replay(past ? count : null);
  }

  draw({ live, events, state }) {
    const many = this.store.events.length, at = `${clock(events.at(-1)?.at)}, event ${events.length} of ${many}`;
    this.slider.max = many;
    this.slider.value = live ? many : events.length;
    this.when.textContent = live ? (over(state) ? "the end" : "live") : `as it was at ${at}`;
    this.play.textContent = this.timer ? "❚❚ Pause" : "▶ Replay";
    this.element.className = live ? "replay" : "replay past";
  }
}
