import type { Problem } from "./contract";
import { byId, h } from "./dom";

/** Full-page notices: a missing token, or a problem of the server with its remedy. */
export class Notices {
  constructor(private readonly box: HTMLElement) {}

  clear(): void {
    this.box.replaceChildren();
  }

  problem(problem: Problem): void {
    this.box.replaceChildren(
      h("div", { class: "notice", role: "alert" }, h("strong", {}, problem.title), problem.hint ?? problem.detail ?? "It is tried again by itself."),
    );
  }

  askForToken(onToken: (token: string) => void, problem?: Problem): void {
    const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
    const form = h("form", {},
      h("label", { for: "token" }, "Token"),
      h("div", { class: "field" }, input, h("button", { type: "submit" }, "Open the map")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      onToken(input.value.trim());
    });
    const heading = h("h1", { id: "token-heading" }, problem?.title ?? "This map is for operators");
    this.box.replaceChildren(
      h("div", { class: "gate", role: "dialog", "aria-modal": "true", "aria-labelledby": "token-heading" },
        heading,
        ...(problem?.hint ? [h("p", {}, problem.hint)] : []),
        h("p", {}, "Get a token on the machine that runs the city:"),
        h("pre", {}, h("code", {}, "hexhail token --role operator")),
        h("p", {}, "Then paste it here, or open this page as ", h("code", {}, "/#token=…"), ". It stays in this tab and nowhere else."),
        form,
      ),
    );
    for (const behind of ["map", "panel", "tools"]) byId(behind).inert = true;
    input.focus();
  }
}
