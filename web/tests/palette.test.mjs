/** The colours of the marks: told apart by every eye, and seen on the ground they lie on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const MARKS = ["idle", "offered", "to-pickup", "at-pickup", "on-trip", "stale", "request"];
/** WCAG 1.4.11: what graphics need to be seen. */
const CONTRAST_MIN = 3;
/** CIE76 difference; about 2.3 is just noticeable. Shapes differ as well, so colour need not carry it all. */
const DIFFERENCE_MIN = 12;

// Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, full severity, on linear RGB.
const EYES = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopic: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopic: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopic: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};
const TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]];
const WHITE = [0.95047, 1, 1.08883];

const times = (matrix, vector) => matrix.map((row) => row.reduce((sum, factor, i) => sum + factor * vector[i], 0));
const linear = (colour) =>
  [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
const luminance = (rgb) => times(TO_XYZ, rgb)[1];

function lab(rgb) {
  const inside = rgb.map((part) => Math.min(1, Math.max(0, part)));
  const [x, y, z] = times(TO_XYZ, inside).map((part, i) => {
    const share = part / WHITE[i];
    return share > 0.008856 ? Math.cbrt(share) : 7.787 * share + 16 / 116;
  });
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function themes() {
  const css = readFileSync(new URL("../src/style.css", import.meta.url), "utf8");
  const [, dark, light] = css.match(/:root \{(.*?)\}.*?\[data-theme="light"\] \{(.*?)\}/s);
  const read = (block) => Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map(([, name, colour]) => [name, colour]));
  return { dark: read(dark), light: read(light) };
}

for (const [theme, colours] of Object.entries(themes())) {
  test(`${theme}: every mark is seen on the land`, () => {
    for (const mark of MARKS) {
      const [low, high] = [colours[mark], colours.land].map((colour) => luminance(linear(colour))).sort((a, b) => a - b);
      const contrast = (high + 0.05) / (low + 0.05);
      assert.ok(contrast >= CONTRAST_MIN, `${mark}: ${contrast.toFixed(2)}`);
    }
  });
  for (const [eye, matrix] of Object.entries(EYES)) {
    test(`${theme}: a ${eye} eye tells all marks apart`, () => {
      const seen = MARKS.map((mark) => ({ mark, place: lab(times(matrix, linear(colours[mark]))) }));
      seen.forEach((one, i) => {
        for (const other of seen.slice(i + 1)) {
          const difference = Math.hypot(...one.place.map((part, k) => part - other.place[k]));
          assert.ok(difference >= DIFFERENCE_MIN, `${one.mark} and ${other.mark}: ${difference.toFixed(1)}`);
        }
      });
    });
  }
}
