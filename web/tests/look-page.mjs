/** Opens a page that is one file, and prints one line of JSON: what it drew, what it asked for. node tests/look-page.mjs FILE OUT.png */
import { pathToFileURL } from "node:url";
import { findChromium, listen, withPage } from "./browser.mjs";

const [file, png] = process.argv.slice(2);
const found = await withPage(findChromium(), { theme: "light", width: 1180, height: 900 }, async (page) => {
  const seen = listen(page, "");
  await page.goto(pathToFileURL(file).href);
  await page.screenshot({ path: png, fullPage: true });
  const pictures = await page.locator("svg").evaluateAll((drawings) =>
    drawings.map((drawing) => {
      const { width, height } = drawing.getBoundingClientRect();
      return { width, height, shapes: drawing.querySelectorAll("path, circle").length };
    }),
  );
  return {
    title: await page.title(),
    pictures,
    overflows: await page.evaluate(() => document.documentElement.scrollWidth > innerWidth),
    text: await page.locator("body").innerText(),
    other_hosts: [...seen.other_hosts],
    console_errors: seen.console_errors,
    screenshot: png,
  };
});
console.log(JSON.stringify(found));
