import { backoffMs } from "./backoff";
import { CLOSED_FORBIDDEN, CLOSED_UNAUTHENTICATED, type Frame, STREAM_PATH, STREAM_PROTOCOL } from "./contract";

/** A stream without a frame for this long counts as dead; the server sends about two frames per second. */
const SILENCE_MS = 10_000;

export interface StreamHandlers {
  onFrame(frame: Frame): void;
  /** `live` is false from the moment the connection is lost until the next frame. */
  onLink(live: boolean): void;
  onRefused(): void;
}

/** The live stream of a city's frames; reconnects automatically. */
export class Stream {
  private attempt = 0;
  private silence: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly token: string,
    private readonly handlers: StreamHandlers,
  ) {}

  open(): void {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${STREAM_PATH}`, [
      STREAM_PROTOCOL,
      `bearer.${this.token}`,
    ]);
    socket.onopen = () => this.watch(socket);
    socket.onmessage = (message) => this.read(socket, message.data);
    socket.onclose = (event) => this.closed(event.code);
  }

  private read(socket: WebSocket, data: unknown): void {
    this.watch(socket);
    const frame = parse(data);
    if (!frame) return;
    this.attempt = 0;
    this.handlers.onLink(true);
    this.handlers.onFrame(frame);
  }

  private watch(socket: WebSocket): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => socket.close(), SILENCE_MS);
  }

  private closed(code: number): void {
    clearTimeout(this.silence);
    this.handlers.onLink(false);
    if (code === CLOSED_UNAUTHENTICATED || code === CLOSED_FORBIDDEN) {
      this.handlers.onRefused();
      return;
    }
    setTimeout(() => this.open(), backoffMs(this.attempt++));
  }
}

/** Parses a message as a frame; null for unknown kinds. */
export function parse(data: unknown): Frame | null {
  if (typeof data !== "string") return null;
  try {
    const message: unknown = JSON.parse(data);
    const isFrame = typeof message === "object" && message !== null && "type" in message && message.type === "frame";
    return isFrame ? (message as Frame) : null;
  } catch {
    return null;
  }
}
