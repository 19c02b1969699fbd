import type { NoiseScheduleConfig } from './config.ts';

/** A noise schedule: a sample at timestep t is sqrt(alphaBar[t]) of the clean one and sqrt(1 - alphaBar[t]) of noise.
 * The numbers are float64; diffusers rounds them to float32. */
export interface NoiseSchedule {
  readonly config: NoiseScheduleConfig;
  /** Variance that step t adds. */
  readonly betas: Float64Array;
  /** Share of the clean sample's variance that is left at t. */
  readonly alphaBar: Float64Array;
}

/** No step of the cosine schedule adds more. @source diffusers betas_for_alpha_bar */
const MAX_BETA = 0.999;

/** The share that is left at a point of [0, 1] in the cosine schedule. @source arXiv 2102.09672, eq. 17 */
const cosineShare = (point: number): number => Math.cos((((point + 0.008) / 1.008) * Math.PI) / 2) ** 2;

function linearSpace(start: number, end: number, count: number): Float64Array {
  const step = count > 1 ? (end - start) / (count - 1) : 0;
  return Float64Array.from({ length: count }, (_, i) => start + i * step);
}

function betasFrom({ betas, trainingSteps }: NoiseScheduleConfig): Float64Array {
  switch (betas.curve) {
    case 'given':
      return Float64Array.from(betas.values);
    case 'linear':
      return linearSpace(betas.start, betas.end, trainingSteps);
    case 'scaled_linear':
      return linearSpace(Math.sqrt(betas.start), Math.sqrt(betas.end), trainingSteps).map((root) => root ** 2);
    case 'squaredcos_cap_v2':
      return Float64Array.from({ length: trainingSteps }, (_, i) =>
        Math.min(1 - cosineShare((i + 1) / trainingSteps) / cosineShare(i / trainingSteps), MAX_BETA),
      );
  }
}

function cumulativeShares(betas: Float64Array): Float64Array {
  let share = 1;
  return betas.map((beta) => {
    share *= 1 - beta;
    return share;
  });
}

/** Shifts and stretches sqrt(alphaBar) so that it ends at zero and begins where it did. @source arXiv 2305.08891, alg. 1 */
function withoutTerminalSignal(alphaBar: Float64Array): Float64Array {
  const roots = alphaBar.map(Math.sqrt);
  const first = roots[0];
  const last = roots[roots.length - 1];
  return roots.map((root) => (((root - last) * first) / (first - last)) ** 2);
}

/** @throws when a given beta is not in [0, 1] @source diffusers DDPMScheduler.__init__ */
export function noiseSchedule(config: NoiseScheduleConfig): NoiseSchedule {
  const betas = betasFrom(config);
  const wrong = betas.findIndex((beta) => !(beta >= 0 && beta <= 1));
  if (wrong >= 0) {
    throw new Error(
      `schedule: every beta is a variance from 0 to 1; got ${betas[wrong]} at ${wrong}; correct beta_start, beta_end or trained_betas`,
    );
  }
  const alphaBar = cumulativeShares(betas);
  if (!config.zeroTerminalSnr) return { config, betas, alphaBar };
  const stretched = withoutTerminalSignal(alphaBar);
  return {
    config,
    betas: stretched.map((share, i) => 1 - share / (i === 0 ? 1 : stretched[i - 1])),
    alphaBar: stretched,
  };
}

/** The share at a timestep. @throws when the schedule has no such timestep */
export function shareAt({ alphaBar }: NoiseSchedule, timestep: number): number {
  if (Number.isInteger(timestep) && timestep >= 0 && timestep < alphaBar.length) return alphaBar[timestep];
  throw new Error(
    `schedule: a timestep is a whole number from 0 to ${alphaBar.length - 1}; got ${timestep}; see num_train_timesteps`,
  );
}
