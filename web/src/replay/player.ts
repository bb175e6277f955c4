export const SPEEDS = [1, 2, 5, 10, 20, 50, 100] as const;
/** Thirty pictures a second are enough for cars. */
const PICTURE_MS = 1000 / 30 - 2;

/** The clock of a replay: a moment of the run that moves by itself while it plays. */
export class Player {
  t_ms = 0;
  playing = false;
  speed = 10;
  private last_ms = 0;
  private drawn_ms = -Infinity;

  constructor(
    private readonly length_ms: number,
    private readonly onMoment: (t_ms: number, isJump: boolean) => void,
    private readonly onChange: () => void,
  ) {
    requestAnimationFrame((now_ms) => this.tick(now_ms));
  }

  toggle(): void {
    if (!this.playing && this.t_ms >= this.length_ms) this.seek(0);
    this.playing = !this.playing;
    this.onChange();
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    this.onChange();
  }

  /** The next faster or slower speed. */
  shift(by: number): void {
    const at = SPEEDS.indexOf(this.speed as (typeof SPEEDS)[number]) + by;
    this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at))] as number);
  }

  seek(t_ms: number): void {
    this.t_ms = Math.min(this.length_ms, Math.max(0, t_ms));
    this.onMoment(this.t_ms, true);
  }

  private tick(now_ms: number): void {
    requestAnimationFrame((next_ms) => this.tick(next_ms));
    const passed_ms = Math.min(500, now_ms - this.last_ms);
    this.last_ms = now_ms;
    if (!this.playing) return;
    this.t_ms = Math.min(this.length_ms, this.t_ms + passed_ms * this.speed);
    if (this.t_ms >= this.length_ms) {
      this.playing = false;
      this.onChange();
    } else if (now_ms - this.drawn_ms < PICTURE_MS) return;
    this.drawn_ms = now_ms;
    this.onMoment(this.t_ms, false);
  }
}
