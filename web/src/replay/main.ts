import "../style.css";
import "./replay.css";
import { Card } from "../card";
import { byId, setText } from "../dom";
import { CityMap, originOf } from "../map/city-map";
import { latLng, Motion } from "../motion";
import { Notices } from "../notices";
import { Sights } from "../selection";
import { stateIndex } from "../states";
import { ThemeSwitch } from "../theme";
import { buildTools } from "../tools";
import { type Prices, type RideEvent, type Run, unpack } from "./contract";
import { Follow } from "./follow";
import { ReplayPanel } from "./panel";
import { Player } from "./player";
import { PriceBoard } from "./price-board";
import { Recording } from "./recording";
import { CURVE_POINTS, Timeline } from "./timeline";
import { Trace } from "./trace";
import { Trail } from "./trail";

async function ask(path: string): Promise<Response> {
  const answer = await fetch(`/v1/replay/${path}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer;
}

async function eventsOf(subject: string): Promise<RideEvent[]> {
  return (await (await ask(`events?subject=${encodeURIComponent(subject)}`)).json()) as RideEvent[];
}

async function start(): Promise<void> {
  const theme = new ThemeSwitch();
  const [run, tracks, prices, roads] = await Promise.all([
    ask("run").then((answer) => answer.json() as Promise<Run>),
    ask("tracks").then(async (answer) => unpack(await answer.arrayBuffer())),
    ask("prices").then((answer) => answer.json() as Promise<Prices>),
    ask("roads").then((answer) => answer.json()),
  ]);
  document.title = `${run.city.name}, replay · hexhail`;
  setText(byId("attribution"), run.city.attribution);
  const known = new Set([...run.drivers, ...run.rides.ride_id]);
  const recording = new Recording(run, tracks, new PriceBoard(prices));
  const motion = new Motion(originOf(run.city));
  const find = async (text: string): Promise<boolean> => {
    const seen = sights.named(text);
    const name = seen?.id ?? text;
    // An unknown name would be a failed request, and a red line in the console.
    if (!known.has(name)) return false;
    await trace.show(name);
    return true;
  };
  const panel = new ReplayPanel(byId("panel"), run, {
    onToggle: (state, shown) => {
      map.drivers.shown[stateIndex(state)] = shown;
      map.map.triggerRepaint();
    },
    onPickRide: (id) => void trace.show(id),
    onFind: find,
  });
  const map = new CityMap(byId("map"), run.city, motion);
  const sights = new Sights(motion, () => map.progress());
  const card = new Card(byId("card"), map, sights, {
    onPick: (subject) => (subject ? void trace.show(subject.id, { bring: false }) : trace.close()),
    avoid: () => byId("trace").getBoundingClientRect(),
  });
  buildTools(byId("tools"), map, theme, { hasSurge: recording.board.moves });
  await map.ready();
  map.setRoads(roads);
  const trail = new Trail(map.map, recording, map.requests.id);
  const follow = new Follow(run, map, card, trail);
  theme.onChange(() => {
    map.paint();
    trail.paint();
  });

  let frames = 0;
  const player = new Player(
    recording.length_ms,
    (t_ms, isJump) => {
      const frame = recording.frame(t_ms);
      // After a jump nobody was seen to change: what the card says of "since" begins anew.
      if (isJump) motion.since.clear();
      motion.take(frame.drivers, frame.now_s, performance.now(), false);
      sights.take(frame);
      map.take(frame);
      panel.take(frame, motion.counts);
      timeline.move(t_ms);
      trace.at(frame.now_s);
      follow.at(t_ms, isJump);
      frames++;
    },
    () => timeline.show(),
  );
  const trace = new Trace(byId("trace"), run.city, {
    events: eventsOf,
    clock: (now_s) => panel.clock(now_s).time,
    onShow: (subject, events, bring) => {
      follow.show(subject, events, player.t_ms, bring, byId("trace"));
      trace.at(run.begin_s + player.t_ms / 1000);
    },
    onSeek: (at_s) => player.seek(Math.round((at_s - run.begin_s) * 1000)),
    onClose: () => follow.hide(),
  });
  const timeline = new Timeline(byId("timeline"), player, recording.length_ms, [
    { name: "riders aboard", kind: "aboard", values: recording.aboardOverTime(CURVE_POINTS) },
    { name: "riders waiting for a driver", kind: "open", values: recording.openOverTime(CURVE_POINTS) },
  ]);
  // The map was there before the bar that takes a part of its room.
  map.map.resize();
  map.showWhole({ animate: false });
  const place = (i: number): [number, number] => {
    const { x, y } = motion.at(i, 1);
    return latLng(x + motion.origin.x, y + motion.origin.y);
  };
  const pixel = (id: string): [number, number] => {
    const [lat_deg, lng_deg] = place(motion.indexOf(id) ?? 0);
    const { x, y } = map.project(lat_deg, lng_deg);
    return [x, y];
  };
  window.replay = {
    get frames() {
      return frames;
    },
    get drivers() {
      return Object.fromEntries(motion.ids.map((id, i) => [id, place(i)]));
    },
    pixel,
    trail: () => trail.shown.map(({ state }) => state),
  };
  void map.map.once("idle", () => (document.body.dataset.ready = "1"));
  player.seek(0);
}

declare global {
  interface Window {
    /** For tests: frames drawn so far; where each driver is drawn now, as [latitude, longitude] in degrees and on the page; states along the trail. */
    replay: { readonly frames: number; readonly drivers: Record<string, [number, number]>; pixel(id: string): [number, number]; trail(): string[] };
  }
}

start().catch((error: unknown) => {
  new Notices(byId("notices")).problem({ type: "about:blank", title: "The run could not be shown", status: 0, code: "replay", hint: String(error) });
  throw error;
});
