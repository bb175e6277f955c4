/**
 * Runs inside the page: controls without a name, and texts with less contrast on their ground than WCAG's AA asks for
 * (4.5, or 3 for large type). Grounds that are pictures (the map) are left out.
 */
export function findUnreadable() {
  const numbers = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((numbers(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const isShown = (element) => element.getClientRects().length > 0;
  const ownText = (element) => [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
  const problems = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!isShown(element) || !(element instanceof HTMLElement) || !ownText(element)) continue;
    const style = getComputedStyle(element);
    const [dark, bright] = [light(style.color), light(ground(element))].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < (Number.parseFloat(style.fontSize) >= 24 ? 3 : 4.5))
      problems.push(`contrast ${contrast.toFixed(2)}: ${ownText(element)}`);
  }
  for (const control of document.querySelectorAll("button, input")) {
    const name = control.getAttribute("aria-label") || control.textContent || control.labels?.[0]?.textContent;
    if (isShown(control) && !name) problems.push(`no name: ${control.outerHTML.slice(0, 80)}`);
  }
  return problems;
}
