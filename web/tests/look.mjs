/**
 * Opens a live map in headless Chromium, looks at it for a while and prints one line of JSON with what it found.
 *
 *   node tests/look.mjs URL OUT.png SECONDS [--theme=dark|light] [--size=1280x800] [--reduced-motion] [--zoom-in=N] [--pick] [--pick-cell]
 *
 * It ends with 0 when the map drew its first frame, with 1 when it did not, with 2 when there is no Chromium.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { findChromium, listen, PATIENCE_MS, settle, withPage } from "./browser.mjs";
import { findUnreadable } from "./readable.mjs";

/** A driver that shifted by more than a metre or so has moved. */
const MOVED_DEG = 1e-5;

function readArguments(given) {
  const options = Object.fromEntries(given.filter((word) => word.startsWith("--")).map((word) => word.slice(2).split("=")));
  const [url, png, seconds] = given.filter((word) => !word.startsWith("--"));
  const [width, height] = (options.size ?? "1280x800").split("x").map(Number);
  return { url, png, seconds: Number(seconds), theme: options.theme ?? "dark", width, height, options };
}

async function look({ url, png, seconds, theme, width, height, options }, executablePath) {
  const media = { theme, reducedMotion: "reduced-motion" in options, width, height };
  return withPage(executablePath, media, async (page) => {
    const seen = listen(page, new URL(url).host);
    await page.goto(url);
    const ready = await isReady(page);
    const before = ready ? await page.evaluate(() => window.hexhail.drivers) : {};
    await sleep(seconds * 1000);
    const after = ready ? await moved(page, before, seconds) : {};
    for (let i = 0; i < Number(options["zoom-in"] ?? 0); i++) {
      await page.getByRole("button", { name: "Zoom in" }).click();
      await sleep(500);
    }
    if ("pick" in options) await pick(page);
    if ("pick-cell" in options) await pickCell(page, width, height);
    await page.screenshot({ path: png });
    return {
      ready,
      frames: ready ? await page.evaluate(() => window.hexhail.frames) : 0,
      drivers_moved: countMoved(before, after),
      other_hosts: [...seen.other_hosts],
      console_errors: seen.console_errors,
      card: await page.locator("#card").innerText(),
      asks: await page.locator(".gate").allInnerTexts(),
      unreadable: await page.evaluate(findUnreadable),
      screenshot: png,
    };
  });
}

/** Whether the first frame was drawn; a page that asks for a token will not draw one. */
async function isReady(page) {
  const settled = () => document.body.dataset.ready === "1" || document.querySelector(".gate") !== null;
  try {
    await page.waitForFunction(settled, undefined, { timeout: PATIENCE_MS });
  } catch {
    return false;
  }
  return page.evaluate(() => document.body.dataset.ready === "1");
}

/** Picks the rider who has waited longest, as an operator with a keyboard would. */
async function pick(page) {
  await page.locator(".waiting button").first().focus();
  await page.keyboard.press("Enter");
  await settle(page, 1500);
}

/** Clicks on surge cells round the middle of the map until one tells its story: a driver may be in the way. */
async function pickCell(page, width, height) {
  for (let away = 0; away < 200; away += 25) {
    await page.mouse.click(width / 2 + away, height / 2 - away);
    await settle(page, 400);
    if ((await page.locator("#card").innerText()).includes("Why")) return;
  }
}

/** The drivers as they stand when most have moved: later on a busy machine, and at once where nothing is waited for. */
async function moved(page, before, seconds) {
  const deadline = Date.now() + (seconds ? PATIENCE_MS : 0);
  for (;;) {
    const drivers = await page.evaluate(() => window.hexhail.drivers);
    if (Date.now() >= deadline || 2 * countMoved(before, drivers) > Object.keys(before).length) return drivers;
    await sleep(200);
  }
}

function countMoved(before, after) {
  const moved = ([id, [lat, lng]]) =>
    after[id] && (Math.abs(after[id][0] - lat) > MOVED_DEG || Math.abs(after[id][1] - lng) > MOVED_DEG);
  return Object.entries(before).filter(moved).length;
}

const executable = findChromium();
const given = readArguments(process.argv.slice(2));
if (!executable || !given.url || !given.png || Number.isNaN(given.seconds)) {
  console.error(executable ? "usage: look.mjs URL OUT.png SECONDS [--theme=…] [--size=WxH]" : "no Chromium: install it or set CHROMIUM");
  process.exit(2);
}
const found = await look(given, executable);
console.log(JSON.stringify(found));
process.exit(found.ready ? 0 : 1);
