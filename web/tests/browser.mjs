/** Headless Chromium for the tests: found on this machine, with a profile of its own, and everything it asks for noted. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

/** Milliseconds until a look gives up on something: long enough on a busy machine that draws without a graphics card. */
export const PATIENCE_MS = 90_000;

const ARGS = [
  "--no-sandbox",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--disable-background-networking",
  "--no-first-run",
  "--disable-component-update",
  "--disable-sync",
];

export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  if (existsSync("/usr/bin/chromium")) return "/usr/bin/chromium";
  try {
    return execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

/** Opens a browser, gives its page to `look`, and leaves nothing behind. */
export async function withPage(executablePath, { theme, reducedMotion, width, height }, look) {
  const profile = mkdtempSync(join(tmpdir(), "hexhail-look-"));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    args: ARGS,
    timeout: PATIENCE_MS,
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: reducedMotion ? "reduce" : "no-preference",
  });
  browser.setDefaultTimeout(PATIENCE_MS);
  try {
    return await look(browser.pages()[0] ?? (await browser.newPage()));
  } finally {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Waits for a while, and until the page has drawn what it knew then: a busy machine draws late. */
export async function settle(page, ms) {
  await sleep(ms);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

/** What the page did that it should not have, gathered while it runs. */
export function listen(page, host) {
  const seen = { other_hosts: new Set(), console_errors: [] };
  const note = (address) => {
    const { protocol, host: asked } = new URL(address);
    if (!["data:", "blob:"].includes(protocol) && asked !== host) seen.other_hosts.add(asked);
  };
  page.on("request", (request) => note(request.url()));
  page.on("websocket", (socket) => note(socket.url()));
  page.on("console", (message) => message.type() === "error" && seen.console_errors.push(message.text()));
  page.on("pageerror", (error) => seen.console_errors.push(String(error)));
  return seen;
}
