import type { CityMap } from "./map/city-map";
import { h, svg } from "./dom";
import type { ThemeSwitch } from "./theme";

const ICONS = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  whole: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  theme: "M12 3a9 9 0 1 0 0 18ZM12 3a9 9 0 0 1 0 18",
  surge: "M12 3l7.8 4.5v9L12 21l-7.8-4.5v-9Z",
  ring: "M12 4a8 8 0 1 0 .01 0ZM12 11a1 1 0 1 0 .01 0Z",
};

/** The buttons over the map; the surge button only if the region has surge. */
export function buildTools(box: HTMLElement, city: CityMap, theme: ThemeSwitch, { hasSurge } = { hasSurge: true }): void {
  const { map } = city;
  const animate = () => ({ animate: city.glides });
  box.replaceChildren(
    tool("Zoom in", "plus", () => map.zoomIn(animate())),
    tool("Zoom out", "minus", () => map.zoomOut(animate())),
    tool("Show the whole city", "whole", () => city.showWhole()),
    toggle("Open requests", "ring", (shown) => {
      city.requests.shown = shown;
      map.triggerRepaint();
    }),
    ...(hasSurge ? [toggle("Surge cells", "surge", (shown) => city.surge.setShown(shown))] : []),
    tool("Change between dark and light", "theme", () => theme.toggle()),
  );
}

function tool(name: string, icon: keyof typeof ICONS, onclick: () => void): HTMLButtonElement {
  const picture = svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[icon] }));
  if (icon === "theme") picture.firstElementChild?.setAttribute("class", "half");
  return h("button", { type: "button", "aria-label": name, title: name, onclick }, picture);
}

function toggle(name: string, icon: keyof typeof ICONS, onChange: (shown: boolean) => void): HTMLButtonElement {
  const button = tool(name, icon, () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    onChange(shown);
  });
  button.setAttribute("aria-pressed", "true");
  return button;
}
