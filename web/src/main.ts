import "./style.css";
import { Api, ProblemError } from "./api";
import { backoffMs, sleep } from "./backoff";
import { Card } from "./card";
import type { City, Frame } from "./contract";
import { byId, setText } from "./dom";
import * as format from "./format";
import { CityMap, originOf } from "./map/city-map";
import { latLng, Motion } from "./motion";
import { Notices } from "./notices";
import { Panel } from "./panel/panel";
import { Sights } from "./selection";
import { stateIndex } from "./states";
import { CHANGES_TOLD, storyRows } from "./story";
import { Stream } from "./stream";
import { ThemeSwitch } from "./theme";
import { forgetToken, keepToken, takeToken } from "./token";
import { buildTools } from "./tools";

declare global {
  interface Window {
    /** For tests: frames taken so far, and where each driver is drawn now, as [latitude, longitude] in degrees. */
    hexhail: { readonly frames: number; readonly drivers: Record<string, [number, number]> };
  }
}

const notices = new Notices(byId("notices"));

async function start(): Promise<void> {
  const theme = new ThemeSwitch();
  const token = takeToken();
  if (!token) return askForToken();
  const api = new Api(token);
  try {
    const city = await untilAnswered(() => api.city());
    notices.clear();
    await run(city, api, token, theme);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    askForToken(error);
  }
}

/** Builds the page of one city and wires its parts together. */
async function run(city: City, api: Api, token: string, theme: ThemeSwitch): Promise<void> {
  document.title = `${city.name} · hexhail`;
  setText(byId("attribution"), city.attribution);
  const motion = new Motion(originOf(city));
  const panel = new Panel(byId("panel"), city, {
    onToggle: (state, shown) => {
      map.drivers.shown[stateIndex(state)] = shown;
      map.map.triggerRepaint();
    },
    onPickRide: (id) => card.show({ kind: "request", id }),
    onFind: (text) => {
      const subject = sights.named(text);
      return subject !== null && card.show(subject);
    },
  });
  const map = new CityMap(byId("map"), city, motion);
  const sights = new Sights(motion, () => map.progress());
  const card = new Card(byId("card"), map, sights, { story: (cell) => storyOf(cell, api, city.timezone) });
  buildTools(byId("tools"), map, theme);
  theme.onChange(() => map.paint());
  await map.ready();

  let frames = 0;
  let frame_ms = performance.now();
  let live = false;
  const link = () => panel.setLink(live, frames ? (performance.now() - frame_ms) / 1000 : null);
  const take = (frame: Frame) => {
    frame_ms = performance.now();
    frames++;
    motion.take(frame.drivers, frame.now_s, frame_ms, map.glides);
    sights.take(frame);
    map.take(frame);
    panel.take(frame, motion.counts);
    link();
    if (frames === 1) void map.map.once("render", () => (document.body.dataset.ready = "1"));
  };
  exposeForTests(() => frames, motion, () => map.progress());
  setInterval(link, 1000);

  // Load the roads first, so that the first frame is complete; if that fails, drivers are shown without them.
  await showRoads(map, api);
  new Stream(token, {
    onFrame: take,
    onLink: (isLive) => {
      live = isLive;
      if (isLive) return;
      link();
      // Browsers hide why a WebSocket handshake failed; an HTTP request tells whether the token was refused.
      api.city().catch((error: unknown) => error instanceof ProblemError && error.isAboutToken && askForToken(error));
    },
    onRefused: () => askForToken(),
  }).open();
}

/** The card's text on a cell, or the error if the request failed. */
async function storyOf(cell: string, api: Api, timezone: string): Promise<[string, string][]> {
  const clock = format.cityClock(timezone);
  try {
    return storyRows(await api.surgeHistory(cell, CHANGES_TOLD), (at_s) => clock(at_s).time);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return [["Its story", error.problem.title]];
  }
}

async function showRoads(map: CityMap, api: Api): Promise<void> {
  try {
    map.setRoads(await api.roads());
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    notices.problem({ ...error.problem, title: `The streets could not be loaded: ${error.problem.title}` });
  }
}

/** Repeats a request until it succeeds, showing the error meanwhile; stops only if the token is refused. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ProblemError) || error.isAboutToken) throw error;
      notices.problem(error.problem);
    }
    await sleep(backoffMs(attempt));
  }
}

function askForToken(error?: ProblemError): void {
  forgetToken();
  const onToken = (token: string) => {
    keepToken(token);
    location.reload();
  };
  notices.askForToken(onToken, error?.problem);
}

function exposeForTests(frames: () => number, motion: Motion, progress: () => number): void {
  const place = (i: number): [number, number] => {
    const { x, y } = motion.at(i, progress());
    return latLng(x + motion.origin.x, y + motion.origin.y);
  };
  window.hexhail = {
    get frames() {
      return frames();
    },
    get drivers() {
      return Object.fromEntries(motion.ids.map((id, i) => [id, place(i)]));
    },
  };
}

void start();
