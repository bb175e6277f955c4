/** The arithmetic behind the map, without a browser: `npm test`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runnerImport } from "vite";

const load = async (path) => (await runnerImport(new URL(path, import.meta.url).pathname, { logLevel: "silent" })).module;
const { Motion, boxOf, latLng, mercator, shortestTurn, unrolled } = await load("../src/motion.ts");
const { backoffMs } = await load("../src/backoff.ts");
const { parse } = await load("../src/stream.ts");
const format = await load("../src/format.ts");
const { storyRows } = await load("../src/story.ts");
const { rgbOf } = await load("../src/dom.ts");
const { ringRadius_px } = await load("../src/rings.ts");

const origin = mercator(40.75, -73.98);
const drivers = (lng_deg, over = {}) => ({ id: ["d1"], lat_deg: [40.75], lng_deg: [lng_deg], heading_deg: [90], state: ["IDLE"], ...over });
const lngOf = (motion, t) => latLng(motion.at(0, t).x + origin.x, motion.at(0, t).y + origin.y)[1];
const near = (actual, expected, tolerance = 1e-6) => assert.ok(Math.abs(actual - expected) < tolerance, `${actual} is not near ${expected}`);

test("mercator there and back is the same place", () => {
  const { x, y } = mercator(40.75, -73.98);
  const [lat_deg, lng_deg] = latLng(x, y);
  near(lat_deg, 40.75, 1e-9);
  near(lng_deg, -73.98, 1e-9);
});

test("a driver glides from where it was drawn to where the newest frame puts it", () => {
  const motion = new Motion(origin);
  motion.take(drivers(-73.98), 0, 0, true);
  motion.take(drivers(-73.978), 5, 500, true);
  near(lngOf(motion, 0), -73.98);
  near(lngOf(motion, 0.5), -73.979);
  near(lngOf(motion, 1), -73.978);
});

test("a driver glides on from the middle when the next frame is early", () => {
  const motion = new Motion(origin);
  motion.take(drivers(-73.98), 0, 0, true);
  motion.take(drivers(-73.978), 5, 500, true);
  const t = motion.progress(600);
  const drawn = lngOf(motion, t);
  motion.take(drivers(-73.976), 6, 600, true);
  near(lngOf(motion, 0), drawn);
});

test("a driver jumps when it is too far away to have driven, and when motion is not wanted", () => {
  const motion = new Motion(origin);
  motion.take(drivers(-73.98), 0, 0, true);
  motion.take(drivers(-73.5), 5, 500, true);
  near(lngOf(motion, 0), -73.5);
  motion.take(drivers(-73.499), 10, 1000, false);
  near(lngOf(motion, 0), -73.499);
});

test("a heading turns the short way round", () => {
  const degrees = (value) => (value * Math.PI) / 180;
  near(shortestTurn(degrees(350), degrees(10)), degrees(20));
  near(shortestTurn(degrees(10), degrees(350)), degrees(-20));
});

test("the time in a state counts from the change, or from first sight", () => {
  const motion = new Motion(origin);
  motion.take(drivers(-73.98), 100, 0, true);
  assert.deepEqual(motion.since.get("d1"), { state: 0, since_s: 100, seen: false });
  motion.take(drivers(-73.98, { state: ["ON_TRIP"] }), 130, 500, true);
  assert.deepEqual(motion.since.get("d1"), { state: 4, since_s: 130, seen: true });
  motion.take({ id: [], lat_deg: [], lng_deg: [], heading_deg: [], state: [] }, 140, 1000, true);
  assert.equal(motion.since.size, 0);
});

test("the nearest shown driver is picked, and none out of reach", () => {
  const motion = new Motion(origin);
  motion.take(drivers(-73.98), 0, 0, true);
  const everyone = () => true;
  assert.equal(motion.nearest({ x: 0, y: 0 }, 1e-6, 1, everyone)?.i, 0);
  assert.equal(motion.nearest({ x: 1e-3, y: 0 }, 1e-6, 1, everyone), null);
  assert.equal(motion.nearest({ x: 0, y: 0 }, 1e-6, 1, () => false), null);
});

test("a state of a later version is counted as stale, not lost", () => {
  const motion = new Motion(origin);
  motion.take(drivers(-73.98, { state: ["FLYING"] }), 0, 0, true);
  assert.deepEqual(motion.counts, [0, 0, 0, 0, 0, 1]);
});

test("reconnecting waits longer and longer, jittered, up to a limit", () => {
  assert.equal(backoffMs(0, () => 1), 500);
  assert.equal(backoffMs(0, () => 0), 250);
  assert.equal(backoffMs(3, () => 1), 4000);
  assert.equal(backoffMs(1000, () => 1), 15_000);
});

test("messages of unknown kind and broken ones are passed over", () => {
  assert.equal(parse('{"type":"frame","now_s":1}').now_s, 1);
  for (const data of ['{"type":"news"}', "null", "7", "{", new ArrayBuffer(1)]) assert.equal(parse(data), null);
});

test("figures are written for people, and a missing one is a dash", () => {
  assert.deepEqual([null, 0, 59.6, 185, 4320].map(format.duration), ["–", "0 s", "1 min 00 s", "3 min 05 s", "1 h 12 min"]);
  assert.deepEqual([null, 4.21, 1234].map(format.milliseconds), ["–", "4.2 ms", "1,234 ms"]);
  assert.deepEqual([1, 1.3, 1.25].map(format.multiplier), ["1.0×", "1.3×", "1.25×"]);
});

test("the clock is the city's, not the browser's", () => {
  assert.equal(format.cityClock("America/New_York")(1419127200).time, "21:00:00");
  assert.equal(format.cityClock("Nowhere/Atall")(1419127200).time, "02:00:00");
});

test("colours are read long and short", () => {
  assert.deepEqual(rgbOf("#ffffff"), [1, 1, 1]);
  assert.deepEqual(rgbOf("#f00"), [1, 0, 0]);
});

test("a ring grows with the wait and stops growing", () => {
  assert.ok(ringRadius_px(0) < ringRadius_px(60) && ringRadius_px(60) < ringRadius_px(300));
  assert.equal(ringRadius_px(300), ringRadius_px(3000));
  assert.equal(ringRadius_px(-5), ringRadius_px(0));
});

test("the story of a cell begins with why, and tells each change, the newest first", () => {
  const change = { words: "more is asked for", requests: 12, quotes: 4.04, supply: 2.5, target: 1.9, bounds: [{ bound: "step", words: "one step" }], version: "3-ab" };
  const rows = storyRows(
    [
      { ...change, at_s: 30, multiplier: 1.21, multiplier_before: 1.1 },
      { ...change, at_s: 15, multiplier: 1.1, multiplier_before: 1, words: "earlier" },
    ],
    (at_s) => `at ${at_s}`,
  );
  assert.deepEqual(rows, [
    ["Why", "more is asked for"],
    ["Requests, quotes", "12.0, 4.0"],
    ["Idle drivers in reach", "2.5"],
    ["Would clear at", "1.9×"],
    ["Held back", "one step"],
    ["at 30", "1.1× → 1.21×"],
    ["at 15", "1.0× → 1.1×"],
    ["Rules", "3-ab"],
  ]);
  assert.deepEqual(storyRows([], String), [["Last day", "no change"]]);
});

test("a city on both sides of 180° is one city: its box, its middle, and drivers that glide over the line", () => {
  assert.deepEqual(boxOf({ south: -17, west: 179.9, north: -16, east: -179.7 }), [179.9, -17, 180.3, -16]);
  assert.deepEqual(boxOf({ south: 40, west: -74, north: 41, east: -73 }), [-74, 40, -73, 41]);
  const here = mercator(-16.8, 180);
  const motion = new Motion(here);
  motion.take(drivers(179.999, { lat_deg: [-16.8] }), 0, 0, true);
  motion.take(drivers(-179.999, { lat_deg: [-16.8] }), 5, 500, true);
  near(motion.at(0, 0).x * 360, -0.001);
  near(motion.at(0, 0.5).x * 360, 0);
  near(motion.at(0, 1).x * 360, 0.001);
});

test("a longitude is written as near to another as can be", () => {
  assert.deepEqual([unrolled(-179.5, 179), unrolled(179.5, -179), unrolled(-73.98, -74), unrolled(-73.98, 105)], [180.5, -180.5, -73.98, -73.98]);
});
