import { type StepRate, stepsPerSecond } from './step-rate.ts';

/** What a process holds, in bytes. */
export interface MemoryUse {
  /** Of the whole process, where the system tells. */
  readonly process?: number;
  readonly tensorBytes: number;
  readonly tensors: number;
}

export interface Progress {
  /** Updates done. */
  readonly step: number;
  /** Of the whole run. */
  readonly steps: number;
  readonly rate?: StepRate;
  readonly learningRate?: number;
  /** Losses and scores by name, in their order. */
  readonly terms?: Readonly<Record<string, number>>;
  readonly memory?: MemoryUse;
}

/** `1 d 4 h`, `3 h 20 min`, `5 min 10 s`, `42 s`. */
function duration(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ] as const;
  const whole = Math.round(seconds);
  const first = Math.max(
    0,
    units.findIndex(([, size]) => whole >= size),
  );
  if (whole < 1) return '0 s';
  const [name, size] = units[first];
  const next = units[first + 1];
  const rest = next === undefined ? 0 : Math.floor((whole % size) / next[1]);
  return `${Math.floor(whole / size)} ${name}${rest === 0 ? '' : ` ${rest} ${next[0]}`}`;
}

function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${Number((count / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

/** Four digits are enough to see that a number moves. */
const number = (value: number): string =>
  Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);

function speed(perSecond: number): string {
  return perSecond >= 1 ? `${perSecond.toPrecision(3)} steps/s` : `${Number((1 / perSecond).toPrecision(3))} s/step`;
}

/** One line about a training: step, speed and time left, learning rate, losses, memory; what is not known is left out.
 * */
export function progressLine({ step, steps, rate, learningRate, terms = {}, memory }: Progress): string {
  const perSecond = stepsPerSecond(rate);
  const share = steps > 0 ? ` (${((100 * step) / steps).toFixed(1)} %)` : '';
  const parts = [
    `step ${step}/${steps}${share}`,
    ...(perSecond === undefined ? [] : [speed(perSecond), `ETA ${duration(Math.max(0, steps - step) / perSecond)}`]),
    ...(learningRate === undefined ? [] : [`lr ${number(learningRate)}`]),
    ...Object.entries(terms).map(([name, value]) => `${name} ${number(value)}`),
    ...(memory?.process === undefined ? [] : [`process ${bytes(memory.process)}`]),
    ...(memory === undefined ? [] : [`${memory.tensors} tensors ${bytes(memory.tensorBytes)}`]),
  ];
  return parts.join('  ');
}
