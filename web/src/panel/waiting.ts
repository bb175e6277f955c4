import type { OpenRequest } from "../contract";
import { h, setText } from "../dom";
import * as format from "../format";

const ROWS = 3;

/** The list of riders who have waited longest; a click moves the map to one. */
export class Waiting {
  readonly element: HTMLElement;
  private readonly rows = Array.from({ length: ROWS }, () => this.row());
  private readonly none = h("p", { class: "quiet" }, "Nobody is waiting.");

  constructor(private readonly onPick: (ride_id: string) => void) {
    this.element = h(
      "section",
      { class: "waiting", "aria-labelledby": "waiting" },
      h("h2", { id: "waiting" }, "Waiting longest"),
      h("ul", {}, ...this.rows.map(({ item }) => item)),
      this.none,
    );
  }

  take(requests: readonly OpenRequest[], now_s: number): void {
    const oldest = [...requests].sort((a, b) => a.requested_s - b.requested_s || (a.ride_id < b.ride_id ? -1 : 1));
    this.none.hidden = oldest.length > 0;
    this.rows.forEach(({ item, button, id, age }, i) => {
      const request = oldest[i];
      item.hidden = !request;
      if (!request) return;
      button.dataset.ride = request.ride_id;
      setText(id, request.ride_id);
      setText(age, format.duration(now_s - request.requested_s));
    });
  }

  private row() {
    const id = h("span", { class: "id" });
    const age = h("span", { class: "count" });
    const button = h("button", { type: "button", onclick: () => this.onPick(button.dataset.ride ?? "") }, id, age);
    return { item: h("li", { hidden: true }, button), button, id, age };
  }
}
