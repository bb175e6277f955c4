import "maplibre-gl/dist/maplibre-gl.css";
import { Map as MapLibreMap, setWorkerUrl } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import type { City, Frame, Roads } from "../contract";
import { boxOf, type Motion, mercator, unrolled } from "../motion";
import type { Subject } from "../selection";
import { AdviceLines } from "./advice";
import { emptyStyle, paintBasemap, setRoads } from "./basemap";
import { DriverLayer } from "./driver-layer";
import { RequestLayer } from "./request-layer";
import { SurgeCells } from "./surge";

setWorkerUrl(workerUrl);

/** Thirty frames a second suffice: cars move a few pixels per second. */
const PICTURE_MS = 1000 / 30 - 2;
/** If drawing a frame takes longer than this (software rendering), frames are drawn less often. */
const SLOW_MS = 30;

const NAMES = { "Map.Title": "Live map. Arrow keys move it, plus and minus zoom." };

/** The map with all its layers, and the animation loop. */
export class CityMap {
  readonly map: MapLibreMap;
  readonly drivers: DriverLayer;
  readonly requests: RequestLayer;
  readonly surge: SurgeCells;
  private readonly advice: AdviceLines;
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");
  private waiting = false;
  private drawn_ms = 0;
  private beat_ms = 0;
  private cost_ms = 0;
  private asked = false;

  constructor(
    container: HTMLElement,
    private readonly city: City,
    private readonly motion: Motion,
  ) {
    this.map = new MapLibreMap({
      container,
      style: emptyStyle(),
      center: middleOf(city),
      maxPitch: 0,
      minZoom: 8,
      maxZoom: 19,
      attributionControl: false,
      locale: NAMES,
      reduceMotion: this.still.matches,
    });
    this.drivers = new DriverLayer(motion, () => this.progress());
    this.requests = new RequestLayer(motion.origin, () => this.glides);
    this.surge = new SurgeCells(this.map);
    this.advice = new AdviceLines(this.map);
    // After a lost WebGL context (such as a laptop's sleep) MapLibre restores its own layers, but not custom ones.
    this.map.on("webglcontextrestored", () => {
      if (this.map.isStyleLoaded()) this.addMarks();
      else void this.map.once("style.load", () => this.addMarks());
    });
    this.map.on("resize", () => this.map.setPadding(room()));
    this.map.setPadding(room());
    this.showWhole({ animate: false });
  }

  /** Whether animation is allowed (prefers-reduced-motion). */
  get glides(): boolean {
    return !this.still.matches;
  }

  progress(): number {
    return this.glides ? this.motion.progress(performance.now()) : 1;
  }

  async ready(): Promise<void> {
    if (!this.map.isStyleLoaded()) await this.map.once("style.load");
    this.addMarks();
    this.surge.addTo("requests");
    this.advice.addTo("requests");
    this.paint();
    this.tick(performance.now());
  }

  setRoads(roads: Roads): void {
    setRoads(this.map, roads);
  }

  paint(): void {
    if (!this.map.getLayer("surge-fill")) return;
    paintBasemap(this.map);
    this.surge.paint();
    this.advice.paint();
    this.drivers.paint();
    this.requests.paint();
  }

  take(frame: Frame): void {
    this.waiting = frame.requests.some(({ state }) => state === "REQUESTED");
    this.requests.take(frame.requests, frame.now_s);
    this.surge.take(frame.surge);
    this.advice.take(frame);
    this.map.triggerRepaint();
  }

  showWhole({ animate } = { animate: this.glides }): void {
    this.map.fitBounds(this.box(), { bearing: 0, animate });
  }

  goTo(place: { lat_deg: number; lng_deg: number }): void {
    const center: [number, number] = [unrolled(place.lng_deg, this.map.getCenter().lng), place.lat_deg];
    this.map.easeTo({ center, zoom: Math.max(14.5, this.map.getZoom()), animate: this.glides });
  }

  /** The pixel of a place, in the copy of the world that is in view. */
  project(lat_deg: number, lng_deg: number): { x: number; y: number } {
    return this.map.project([unrolled(lng_deg, this.map.getCenter().lng), lat_deg]);
  }

  /** Mercator units in so many pixels at the present zoom. */
  reach(pixels: number): number {
    return pixels / (512 * 2 ** this.map.getZoom());
  }

  shows(kind: Subject["kind"], state: number): boolean {
    return kind === "driver" ? this.drivers.shown[state] === true : this.requests.shown;
  }

  private addMarks(): void {
    if (this.map.getLayer(this.drivers.id)) return;
    this.map.addLayer(this.drivers);
    this.map.addLayer(this.requests, this.drivers.id);
  }

  private box(): [number, number, number, number] {
    return boxOf(this.city.bounds_deg);
  }

  /** Draws again for as long as anything moves; a hidden page draws nothing, since its browser asks for no picture. */
  private tick(now_ms: number): void {
    requestAnimationFrame((next_ms) => this.tick(next_ms));
    // The picture asked for in the last beat was drawn in this one, and made it as long as it is.
    if (this.asked) this.cost_ms += (Math.min(500, now_ms - this.beat_ms) - this.cost_ms) * 0.2;
    this.beat_ms = now_ms;
    this.asked = false;
    const pause_ms = this.cost_ms > SLOW_MS ? this.cost_ms * 2 : PICTURE_MS;
    if (!this.glides || now_ms - this.drawn_ms < pause_ms || !this.moves()) return;
    this.map.triggerRepaint();
    this.asked = true;
    this.drawn_ms = now_ms;
  }

  private moves(): boolean {
    return this.motion.progress(performance.now()) < 1 || (this.waiting && this.requests.shown);
  }
}

/** The middle of the city, which all places on the map are kept relative to. */
export function originOf(city: City): { x: number; y: number } {
  const [lng_deg, lat_deg] = middleOf(city);
  return mercator(lat_deg, lng_deg);
}

function middleOf(city: City): [lng_deg: number, lat_deg: number] {
  const [west, south, east, north] = boxOf(city.bounds_deg);
  return [(west + east) / 2, (south + north) / 2];
}

/** What the panel leaves of the page: the middle of that is the middle of the map. */
function room(): { top: number; bottom: number; left: number; right: number } {
  const edge = 28;
  // The replay has a bar along the bottom.
  const timeline = document.getElementById("timeline")?.getBoundingClientRect();
  const foot = timeline?.height ? innerHeight - timeline.top + 12 : edge;
  const panel = document.getElementById("panel")?.getBoundingClientRect();
  if (!panel) return { top: edge, bottom: foot, left: edge, right: edge };
  const isSheet = panel.width > innerWidth * 0.7;
  // On a narrow page the panel is a sheet: along the bottom on the live map, along the top in a replay.
  if (isSheet && panel.top < innerHeight / 2 && timeline) return { top: panel.bottom + 12, right: edge, bottom: foot, left: edge };
  return { top: edge, right: edge + 36, bottom: isSheet ? innerHeight - panel.top + 12 : foot, left: isSheet ? edge : panel.right + 12 };
}
