import type { CustomRenderMethodInput, Map as MapLibreMap } from "maplibre-gl";
import type { Origin } from "../motion";

/** The little of WebGL 2 that the two layers of marks share. */

export function buildProgram(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(kind);
    if (!shader) throw new Error("the graphics context is lost");
    gl.shaderSource(shader, `#version 300 es\nprecision highp float;\n${source}`);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(program)?.map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`a shader does not build: ${gl.getProgramInfoLog(program)} ${logs?.join(" ")}`);
  }
  return program;
}

/** Places of a program's uniforms, each asked for once. */
export function uniformsOf(gl: WebGL2RenderingContext, program: WebGLProgram): (name: string) => WebGLUniformLocation | null {
  const known = new Map<string, WebGLUniformLocation | null>();
  return (name) => {
    if (!known.has(name)) known.set(name, gl.getUniformLocation(program, name));
    return known.get(name) ?? null;
  };
}

/** Squares drawn once per place in a buffer of floats: `groups` says how the floats of one place are cut into attributes. */
export class Squares {
  private readonly vao: WebGLVertexArrayObject;
  private readonly buffer: WebGLBuffer;
  private size = 0;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly stride: number,
    groups: readonly number[],
  ) {
    this.vao = gl.createVertexArray();
    gl.bindVertexArray(this.vao);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    this.buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    let offset = 0;
    groups.forEach((floats, i) => {
      gl.enableVertexAttribArray(i + 1);
      gl.vertexAttribPointer(i + 1, floats, gl.FLOAT, false, stride * 4, offset * 4);
      gl.vertexAttribDivisor(i + 1, 1);
      offset += floats;
    });
    gl.bindVertexArray(null);
  }

  fill(places: Float32Array): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, places, this.gl.DYNAMIC_DRAW);
    this.size = places.length / this.stride;
  }

  draw(): void {
    if (this.size === 0) return;
    const { gl } = this;
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.vao);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.size);
    gl.bindVertexArray(null);
  }
}

/** The camera for places relative to `origin`: the shift is done in 64 bits, so that nothing trembles when near. */
export function shifted(matrix: ArrayLike<number>, scale: number, origin: Origin): Float32Array {
  const m = Array.from(matrix) as number[];
  const out = new Float32Array(16);
  for (let row = 0; row < 4; row++) {
    const a = (m[row] ?? 0) * scale;
    const b = (m[4 + row] ?? 0) * scale;
    out[row] = a;
    out[4 + row] = b;
    out[8 + row] = m[8 + row] ?? 0;
    out[12 + row] = a * origin.x + b * origin.y + (m[12 + row] ?? 0);
  }
  return out;
}

/** What both layers tell their shaders about the camera. */
export function setCamera(
  gl: WebGL2RenderingContext,
  at: (name: string) => WebGLUniformLocation | null,
  map: MapLibreMap,
  camera: CustomRenderMethodInput,
  origin: Origin,
): void {
  const canvas = map.getCanvas();
  const zoom = map.getZoom();
  // MapLibre's world is 512 pixels wide at zoom 0.
  gl.uniformMatrix4fv(at("u_camera"), false, shifted(camera.modelViewProjectionMatrix, 512 * 2 ** zoom, origin));
  gl.uniform2f(at("u_viewport"), canvas.clientWidth, canvas.clientHeight);
  gl.uniform1f(at("u_scale"), markScale(zoom));
}

/** How large marks are drawn at a zoom: small over a whole city, full where single streets are told apart. */
export function markScale(zoom: number): number {
  return Math.min(1.15, Math.max(0.42, 0.44 + (zoom - 10.8) * 0.17));
}
