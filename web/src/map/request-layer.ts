import type { CustomLayerInterface, CustomRenderMethodInput, Map as MapLibreMap } from "maplibre-gl";
import type { OpenRequest } from "../contract";
import { cssRgb } from "../dom";
import { eastward, mercator, type Origin } from "../motion";
import { ringRadius_px } from "../rings";
import { buildProgram, setCamera, Squares, uniformsOf } from "./gl";

const VERTEX = `
layout(location = 0) in vec2 a_corner;
layout(location = 1) in vec4 a_ring;  // x, y; radius in pixels; 1 while offered to a driver
uniform mat4 u_camera;
uniform vec2 u_viewport;
uniform float u_scale;
out vec2 v_place;
out float v_radius, v_offered;
void main() {
  v_radius = a_ring.z * u_scale;
  v_offered = a_ring.w;
  v_place = a_corner * (v_radius * 1.9 + 3.0);
  gl_Position = u_camera * vec4(a_ring.xy, 0.0, 1.0);
  gl_Position.xy += v_place * 2.0 / u_viewport * gl_Position.w;
}`;

const FRAGMENT = `
in vec2 v_place;
in float v_radius, v_offered;
uniform float u_pulse;  // 0…1, or below 0 to keep still
uniform vec3 u_colour, u_rim;
out vec4 colour;
float line(float distance, float width) { return clamp(width * 0.5 + 0.5 - abs(distance), 0.0, 1.0); }
void main() {
  float far = length(v_place);
  // A request that is offered to a driver has a dashed ring and does not pulse.
  float dashes = mix(1.0, step(0.38, fract(atan(v_place.y, v_place.x) * 1.2732)), v_offered);
  float ring = line(far - v_radius, 2.4) * dashes;
  float heart = clamp(2.8 - far, 0.0, 1.0);
  float rim = max(line(far - v_radius, 5.0) * dashes, clamp(4.3 - far, 0.0, 1.0)) * 0.8;
  float inside = clamp(v_radius - far, 0.0, 1.0) * 0.16;
  float wave = u_pulse < 0.0 ? 0.0 : line(far - v_radius * (1.0 + u_pulse * 0.85), 2.0) * (1.0 - u_pulse) * 0.8 * (1.0 - v_offered);
  float body = max(max(ring, heart), max(inside, wave));
  float cover = max(body, rim);
  colour = vec4(mix(u_rim * cover, u_colour * cover, body / max(cover, 0.001)), cover);
}`;

const STRIDE = 4;
const PULSE_MS = 1800;

/** Open requests as rings at their pickups. */
export class RequestLayer implements CustomLayerInterface {
  readonly id = "requests";
  readonly type = "custom";
  shown = true;
  private map!: MapLibreMap;
  private program!: WebGLProgram;
  private at!: ReturnType<typeof uniformsOf>;
  private squares!: Squares;
  private places = new Float32Array(0);
  private fresh = true;
  private colour: [number, number, number] = [0, 0, 0];
  private rim: [number, number, number] = [0, 0, 0];

  constructor(
    private readonly origin: Origin,
    private readonly pulses: () => boolean,
  ) {
    this.paint();
  }

  /** Takes the colours of the theme. */
  paint(): void {
    this.colour = cssRgb("--request");
    this.rim = cssRgb("--rim");
  }

  take(requests: readonly OpenRequest[], now_s: number): void {
    this.places = new Float32Array(requests.length * STRIDE);
    requests.forEach((request, i) => {
      const { x, y } = mercator(request.lat_deg, request.lng_deg);
      const radius_px = ringRadius_px(now_s - request.requested_s);
      this.places.set([eastward(this.origin.x, x), y - this.origin.y, radius_px, Number(request.state === "OFFERED")], i * STRIDE);
    });
    this.fresh = true;
  }

  onAdd(map: MapLibreMap, gl: WebGL2RenderingContext): void {
    this.map = map;
    this.program = buildProgram(gl, VERTEX, FRAGMENT);
    this.at = uniformsOf(gl, this.program);
    this.squares = new Squares(gl, STRIDE, [4]);
    this.fresh = true;
  }

  render(gl: WebGL2RenderingContext, camera: CustomRenderMethodInput): void {
    if (this.fresh) this.squares.fill(this.places);
    this.fresh = false;
    if (!this.shown) return;
    const { at } = this;
    gl.useProgram(this.program);
    setCamera(gl, at, this.map, camera, this.origin);
    gl.uniform1f(at("u_pulse"), this.pulses() ? (performance.now() % PULSE_MS) / PULSE_MS : -1);
    gl.uniform3fv(at("u_colour"), this.colour);
    gl.uniform3fv(at("u_rim"), this.rim);
    this.squares.draw();
  }
}
