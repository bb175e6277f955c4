/** The arithmetic behind the replay, without a browser: `npm test`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runnerImport } from "vite";

const load = async (path) => (await runnerImport(new URL(path, import.meta.url).pathname, { logLevel: "silent" })).module;
const { Recording, heading } = await load("../src/replay/recording.ts");
const { PriceBoard } = await load("../src/replay/price-board.ts");
const { money, spansOf } = await load("../src/replay/trace.ts");
const { unpack } = await load("../src/replay/contract.ts");

const NO_PRICES = { cell: [], t_ms: [], at: [], multiplier: [] };
const DRIVER_STATES = ["IDLE", "TO_PICKUP"];
const [IDLE, TO_PICKUP] = DRIVER_STATES.keys();

/** One driver, who stands until second 10, drives a hundredth of a degree north until 20, and stands; one ride from 2 to 20. */
function recording() {
  const run = {
    begin_s: 1000,
    end_s: 1200,
    drivers: ["d"],
    driver_states: DRIVER_STATES,
    rides: { ride_id: ["r"], lat_deg: [1], lng_deg: [2], t_ms: [2000], picked_ms: [20_000], ended_ms: [100_000], end: ["completed"], open: [[2000, 1, 4000, 2, 10_000, 0]] },
  };
  const tracks = {
    offset: Int32Array.of(0, 3),
    t_ms: Int32Array.of(0, 10_000, 20_000),
    lat_e6: Int32Array.of(0, 0, 10_000),
    lng_e6: Int32Array.of(0, 0, 0),
    state: Uint8Array.of(IDLE, TO_PICKUP, IDLE),
  };
  return new Recording(run, tracks, new PriceBoard(NO_PRICES));
}

test("a driver is between two corners where the time says, whichever way one scrubs", () => {
  const played = recording();
  const lat = (t_ms) => played.frame(t_ms).drivers.lat_deg[0];
  const expected = [[0, 0], [10_000, 0], [15_000, 0.005], [20_000, 0.01], [150_000, 0.01], [15_000, 0.005], [5000, 0]];
  for (const [t_ms, place] of expected) assert.ok(Math.abs(lat(t_ms) - place) < 1e-9, `${t_ms}: ${lat(t_ms)}`);
  assert.deepEqual(played.frame(15_000).drivers.state, ["TO_PICKUP"]);
  assert.deepEqual(played.frame(15_000).drivers.heading_deg, [0]);
});

test("a ride is open from its request to the yes, and counted from then on", () => {
  const played = recording();
  const states = [1000, 2000, 4000, 9999, 10_000].map((t_ms) => played.frame(t_ms).requests.map(({ state }) => state));
  assert.deepEqual(states, [[], ["REQUESTED"], ["OFFERED"], ["OFFERED"], []]);
  const { figures } = played.frame(120_000);
  assert.deepEqual([figures.rides_completed, figures.pickup_wait_mean_s, figures.pickup_wait_p95_s], [1, 18, 18]);
  assert.equal(played.frame(99_000).figures.rides_completed, 0);
});

test("curves count who is open and who is aboard", () => {
  const played = recording();
  // 21 moments, each ten seconds of the run.
  assert.deepEqual(played.openOverTime(21).slice(0, 3), [0, 0, 0]);
  assert.equal(played.openOverTime(201)[5], 1);
  const aboard = played.aboardOverTime(21);
  assert.deepEqual([aboard[1], aboard[2], aboard[9], aboard[10]], [0, 1, 1, 0]);
});

test("a way is cut at both ends and leaves out standing still", () => {
  assert.deepEqual(recording().way("d", 12_000, 18_000), [{ state: "TO_PICKUP", places: [[0, 0.002], [0, 0.008]] }]);
  assert.deepEqual(recording().way("d", 0, 9000), []);
  assert.deepEqual(recording().way("nobody", 0, 9000), []);
});

test("the price board shows what holds, also after a jump back", () => {
  const board = new PriceBoard({ cell: ["a", "b"], t_ms: [10, 20, 30], at: [0, 1, 0], multiplier: [1.5, 0.9, 1] });
  const shown = (t_ms) => board.at(t_ms).map(({ cell, multiplier }) => [cell, multiplier]);
  assert.deepEqual(shown(9), []);
  assert.deepEqual(shown(20), [["a", 1.5], ["b", 0.9]]);
  assert.equal(board.at(25), board.at(26));
  assert.deepEqual(shown(40), [["b", 0.9]]);
  assert.deepEqual(shown(15), [["a", 1.5]]);
  assert.deepEqual(shown(0), []);
});

test("whoever said yes is at work until the end, the next driver after the one before", () => {
  const events = [
    { event: "OfferAccepted", at_s: 1001, driver_id: "d1" },
    { event: "AssignmentCancelled", at_s: 1003, driver_id: "d1" },
    { event: "OfferAccepted", at_s: 1005, driver_id: "d2" },
  ];
  assert.deepEqual(spansOf(events, 1000, 1100), [{ driver: "d1", from_ms: 1000, to_ms: 3000 }, { driver: "d2", from_ms: 5000, to_ms: 100_000 }]);
});

test("packed tracks are read as they were written", () => {
  const bytes = new ArrayBuffer(8 + 4 * 2 + 13 * 2);
  new Uint32Array(bytes, 0, 2).set([1, 2]);
  new Int32Array(bytes, 8, 8).set([0, 2, 5, 6, 7, 8, 9, 10]);
  new Uint8Array(bytes, 40).set([3, 4]);
  const { offset, t_ms, lat_e6, lng_e6, state } = unpack(bytes);
  assert.deepEqual([offset, t_ms, lat_e6, lng_e6, state].map((column) => [...column]), [[0, 2], [5, 6], [7, 8], [9, 10], [3, 4]]);
});

test("headings are clockwise from north, and none at rest", () => {
  assert.deepEqual([heading(1, 0), heading(0, 1), heading(-1, 0), heading(0, -1), heading(0, 0)], [0, 90, 180, 270, null]);
});

test("a fare has the decimals of its currency", () => {
  const of = (currency, minor_unit_digits) => money(1250, { currency, minor_unit_digits });
  assert.deepEqual([of("USD", 2), of("JPY", 0), of("KWD", 3), of("IQD", 3)], ["12.50 USD", "1250 JPY", "1.250 KWD", "1.250 IQD"]);
});

test("a driver who goes over 180° goes the short way, in one line", () => {
  const run = { begin_s: 0, end_s: 20, drivers: ["d"], driver_states: DRIVER_STATES, rides: { ride_id: [], lat_deg: [], lng_deg: [], t_ms: [], picked_ms: [], ended_ms: [], end: [], open: [] } };
  const tracks = {
    offset: Int32Array.of(0, 3),
    t_ms: Int32Array.of(0, 10_000, 20_000),
    lat_e6: Int32Array.of(0, 0, 0),
    lng_e6: Int32Array.of(179_990_000, -179_990_000, -179_980_000),
    state: Uint8Array.of(TO_PICKUP, TO_PICKUP, IDLE),
  };
  const played = new Recording(run, tracks, new PriceBoard(NO_PRICES));
  const { lng_deg, heading_deg } = played.frame(7500).drivers;
  assert.ok(Math.abs(lng_deg[0] - 180.005) < 1e-9, `${lng_deg[0]}`);
  assert.deepEqual(heading_deg, [90]);
  const lngs = played.way("d", 0, 20_000).flatMap(({ places }) => places.map(([lng]) => Math.round(lng * 1e3) / 1e3));
  assert.deepEqual(lngs, [179.99, 180.01, 180.02]);
});
