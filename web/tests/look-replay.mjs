/**
 * Opens a replay in headless Chromium, scrubs, plays, traces a ride, and prints one line of JSON with what it found.
 *
 *   node tests/look-replay.mjs URL OUT.png RIDE [--theme=dark|light] [--size=1280x800]
 */
import { createHash } from "node:crypto";
import { findChromium, listen, PATIENCE_MS, settle, withPage } from "./browser.mjs";
import { findUnreadable } from "./readable.mjs";

const words = process.argv.slice(2);
const options = Object.fromEntries(words.filter((word) => word.startsWith("--")).map((word) => word.slice(2).split("=")));
const [url, png, ride] = words.filter((word) => !word.startsWith("--"));
const [width, height] = (options.size ?? "1280x800").split("x").map(Number);

/** What the map's canvas shows, as a fingerprint of its pixels. */
const drawn = async (page) => createHash("sha256").update(await page.locator("#map canvas").screenshot()).digest("hex");
const places = (page) => page.evaluate(() => JSON.stringify(window.replay.drivers));
const clock = (page) => page.locator(".time").innerText();

async function scrub(page, share) {
  await page.locator("#moment").evaluate((slider, part) => {
    slider.value = String(part * Number(slider.max));
    slider.dispatchEvent(new Event("input"));
  }, share);
  await settle(page, 1200);
}

async function find(page, name) {
  await page.locator("#find").fill(name);
  await page.keyboard.press("Enter");
  await settle(page, 300);
}

/** Clicks on the drawn mark of the driver who is farthest from all others; answers with who that is and whose trace opened. */
async function clickOnDriver(page) {
  const [driver, x, y] = await page.evaluate(() => {
    const marks = Object.keys(window.replay.drivers).map((id) => ({ id, at: window.replay.pixel(id) }));
    const isFree = ({ at }) => document.elementFromPoint(...at)?.tagName === "CANVAS";
    const room = ({ id, at }) => Math.min(...marks.filter((other) => other.id !== id).map((other) => Math.hypot(at[0] - other.at[0], at[1] - other.at[1])));
    const [chosen] = marks.filter(isFree).sort((one, other) => room(other) - room(one));
    return [chosen.id, ...chosen.at];
  });
  await page.mouse.click(x, y);
  await page.locator("#trace h2", { hasText: driver }).waitFor();
  return { driver, traced: await page.locator("#trace h2").innerText(), card: await page.locator("#card strong").innerText() };
}

/** Kinds of stretches on the map of what is traced. */
const trailed = (page) => page.evaluate(() => window.replay.trail());

const found = await withPage(findChromium(), { theme: options.theme ?? "dark", width, height }, async (page) => {
  const seen = listen(page, new URL(url).host);
  await page.goto(url);
  await page.waitForFunction(() => document.body.dataset.ready === "1", undefined, { timeout: PATIENCE_MS });
  await scrub(page, 0.2);
  const early = { pixels: await drawn(page), places: await places(page), time: await clock(page) };
  await scrub(page, 0.4);
  const later = { pixels: await drawn(page), places: await places(page), time: await clock(page) };
  await scrub(page, 0.2);
  const again = { places: await places(page), time: await clock(page) };
  await page.locator("#map canvas").focus();
  await page.keyboard.press("Space");
  await settle(page, 1500);
  const played = { places: await places(page), time: await clock(page) };
  await page.keyboard.press("Space");
  const stopped = await clock(page);
  const picked = await clickOnDriver(page);
  await page.screenshot({ path: png.replace(".png", "-driver.png") });
  const isNarrow = !(await page.locator("#find").isVisible());
  // On a phone there is no room for the finder: the ride is one of those that the driver's trace names.
  if (isNarrow) await page.locator("#trace .other").first().click();
  else await find(page, ride);
  await page.locator("#trace li strong", { hasText: "Ride requested" }).first().waitFor();
  const trace = await page.locator("#trace li strong").allInnerTexts();
  await page.locator("#trace .moment").nth(Math.floor(trace.length / 2)).click();
  await settle(page, 1200);
  const past = await page.locator("#trace li[data-past]").count();
  const way = await trailed(page);
  await page.screenshot({ path: png });
  const unreadable = await page.evaluate(findUnreadable);
  if (!isNarrow) await find(page, "nobody");
  await page.keyboard.press("Escape");
  const untraced = await page.locator("#trace").isHidden();
  return {
    early, later, again, played, stopped, picked, way, trace, past, untraced,
    drivers: Object.keys(JSON.parse(later.places)).length,
    tools: await page.locator("#tools button").evaluateAll((buttons) => buttons.map((button) => button.getAttribute("aria-label"))),
    refused: isNarrow ? null : await page.locator(".find .quiet").innerText(),
    other_hosts: [...seen.other_hosts],
    console_errors: seen.console_errors,
    unreadable,
    screenshot: png,
  };
});
console.log(JSON.stringify(found));
