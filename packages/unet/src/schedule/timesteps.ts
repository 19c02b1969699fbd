import { type NoiseSchedule, shareAt } from './noise-schedule.ts';

/** A step of a sampler: from the noise of `timestep` to that of `previous`, which is below 0 for the clean sample. */
export interface SamplingStep {
  readonly timestep: number;
  readonly previous: number;
}

/** Halves go to the even neighbour, as in NumPy. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** `count` timesteps from the noisiest down, laid over the training steps as the config's spacing says.
 * @throws when there are more than training steps, or an offset leads past the last @source diffusers set_timesteps */
export function timesteps(schedule: NoiseSchedule, count: number): number[] {
  const { trainingSteps, spacing, stepsOffset } = schedule.config;
  if (!Number.isInteger(count) || count < 1 || count > trainingSteps) {
    throw new Error(
      `schedule: sampling takes from 1 to ${trainingSteps} steps, as many as training had; got ${count}; take fewer`,
    );
  }
  const steps: number[] = [];
  for (let i = 0; i < count; i++) {
    if (spacing === 'linspace') {
      steps.push(
        count === 1 ? 0 : roundHalfEven(i === count - 1 ? trainingSteps - 1 : i * ((trainingSteps - 1) / (count - 1))),
      );
    } else if (spacing === 'leading') {
      steps.push(i * Math.floor(trainingSteps / count) + stepsOffset);
    } else {
      steps.unshift(roundHalfEven(trainingSteps - i * (trainingSteps / count)) - 1);
    }
  }
  steps.reverse();
  for (const step of steps) shareAt(schedule, step);
  return steps;
}

function checkDescending(schedule: NoiseSchedule, steps: readonly number[]): void {
  steps.forEach((step, i) => {
    shareAt(schedule, step);
    if (i === 0 || step < steps[i - 1]) return;
    throw new Error(`schedule: timesteps descend; got ${steps[i - 1]}, ${step}; sort them`);
  });
}

const chained = (steps: readonly number[]): SamplingStep[] =>
  steps.map((timestep, i) => ({ timestep, previous: steps[i + 1] ?? -1 }));

/** The steps of DDPM sampling: so many, or these timesteps, each leading to the next.
 * @source diffusers DDPMScheduler.previous_timestep */
export function ddpmSteps(schedule: NoiseSchedule, steps: number | readonly number[]): SamplingStep[] {
  if (typeof steps === 'number') return chained(timesteps(schedule, steps));
  checkDescending(schedule, steps);
  return chained(steps);
}

/** The steps of DDIM sampling. Unlike DDPM's they are all equally long, whatever the spacing, so that with `linspace` and
 * `trailing` they need not lead exactly to each other. @source diffusers DDIMScheduler.step */
export function ddimSteps(schedule: NoiseSchedule, count: number): SamplingStep[] {
  const length = Math.floor(schedule.config.trainingSteps / count);
  return timesteps(schedule, count).map((timestep) => ({ timestep, previous: timestep - length }));
}
