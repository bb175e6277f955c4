import type { CustomLayerInterface, CustomRenderMethodInput, Map as MapLibreMap } from "maplibre-gl";
import { cssRgb } from "../dom";
import { type Motion, STRIDE } from "../motion";
import { LOOKS } from "../states";
import { drawAtlas } from "./atlas";
import { buildProgram, setCamera, Squares, uniformsOf } from "./gl";

const VERTEX = `
layout(location = 0) in vec2 a_corner;
layout(location = 1) in vec4 a_way;   // from x, y; to x, y
layout(location = 2) in vec4 a_pose;  // heading from, to; state; has a heading
uniform mat4 u_camera;
uniform vec2 u_viewport;
uniform float u_t, u_bearing, u_scale;
uniform vec3 u_colour[${LOOKS.length}];
uniform float u_size[${LOOKS.length}], u_turns[${LOOKS.length}], u_shown[${LOOKS.length}];
out vec2 v_atlas;
out vec3 v_colour;
void main() {
  int state = int(a_pose.z);
  float angle = mix(a_pose.x, a_pose.y, u_t) - u_bearing;
  float turn = u_turns[state] * a_pose.w * angle;
  vec2 corner = a_corner * u_size[state] * u_scale * u_shown[state];
  vec2 turned = vec2(corner.x * cos(turn) + corner.y * sin(turn), corner.y * cos(turn) - corner.x * sin(turn));
  gl_Position = u_camera * vec4(mix(a_way.xy, a_way.zw, u_t), 0.0, 1.0);
  gl_Position.xy += turned / u_viewport * gl_Position.w;
  vec2 place = vec2(a_corner.x, -a_corner.y) * 0.5 + 0.5;
  v_atlas = vec2((float(state) + place.x) / ${LOOKS.length}.0, (place.y + 1.0 - a_pose.w) * 0.5);
  v_colour = u_colour[state];
}`;

const FRAGMENT = `
in vec2 v_atlas;
in vec3 v_colour;
uniform sampler2D u_atlas;
uniform vec3 u_rim;
out vec4 colour;
void main() {
  vec2 cover = texture(u_atlas, v_atlas).rg;
  colour = vec4(mix(u_rim, v_colour, cover.r / max(cover.g, 0.001)) * cover.g, cover.g);
}`;

// 6/5: the outline fills that part of its cell in the atlas.
const SIZES_PX = LOOKS.map((look) => look.size_px * 1.2);
const TURNS = LOOKS.map((look) => Number(look.turns));

/** All drivers in one draw call; between two frames the graphics card moves them, and nothing is uploaded. */
export class DriverLayer implements CustomLayerInterface {
  readonly id = "drivers";
  readonly type = "custom";
  readonly shown: boolean[] = LOOKS.map(() => true);
  private map!: MapLibreMap;
  private program!: WebGLProgram;
  private at!: ReturnType<typeof uniformsOf>;
  private squares!: Squares;
  private texture!: WebGLTexture;
  private uploaded: Float32Array | null = null;
  private colours: number[] = [];
  private rim: [number, number, number] = [0, 0, 0];

  constructor(
    private readonly motion: Motion,
    private readonly progress: () => number,
  ) {
    this.paint();
  }

  /** Takes the colours of the theme. */
  paint(): void {
    this.colours = LOOKS.flatMap((look) => cssRgb(look.colour));
    this.rim = cssRgb("--rim");
  }

  onAdd(map: MapLibreMap, gl: WebGL2RenderingContext): void {
    this.map = map;
    this.program = buildProgram(gl, VERTEX, FRAGMENT);
    this.at = uniformsOf(gl, this.program);
    this.squares = new Squares(gl, STRIDE, [4, 4]);
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, drawAtlas());
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    this.uploaded = null;
  }

  render(gl: WebGL2RenderingContext, camera: CustomRenderMethodInput): void {
    if (this.uploaded !== this.motion.places) {
      this.squares.fill(this.motion.places);
      this.uploaded = this.motion.places;
    }
    const { at } = this;
    gl.useProgram(this.program);
    setCamera(gl, at, this.map, camera, this.motion.origin);
    gl.uniform1f(at("u_t"), this.progress());
    gl.uniform1f(at("u_bearing"), (this.map.getBearing() * Math.PI) / 180);
    gl.uniform3fv(at("u_colour"), this.colours);
    gl.uniform1fv(at("u_size"), SIZES_PX);
    gl.uniform1fv(at("u_turns"), TURNS);
    gl.uniform1fv(at("u_shown"), this.shown.map(Number));
    gl.uniform3fv(at("u_rim"), this.rim);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.uniform1i(at("u_atlas"), 0);
    this.squares.draw();
  }
}
