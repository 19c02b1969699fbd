/** How a weight with DoRA's lengths m is scaled by a strength s; d is what the product adds at full strength. At s = 1 the first two
 * are the same, at s = 0 every rule leaves the weight alone.
 * - `peft`: m / |W + s d| (W + s d), as PEFT's and diffusers' weights of adapters act.
 * - `lycoris`: (1 + s (m / |W + d| - 1)) (W + d), as the multiplier of LyCORIS' layers acts.
 * - `comfyui`: W + s (m / |W| (W + d) - W), for lengths of the inputs m / |W + d|, as ComfyUI merges.
 * @source peft DoraLinearLayer; LyCORIS 4.1 weight_decompose; ComfyUI weight_decompose */
export type DoraRule = 'peft' | 'lycoris' | 'comfyui';

export const DORA_RULES: readonly DoraRule[] = ['peft', 'lycoris', 'comfyui'];

/** @throws unless it is the name of a rule */
export function checkDoraRule(rule: DoraRule): void {
  if (DORA_RULES.includes(rule)) return;
  throw new Error(`lora: DoRA is scaled by the rule of ${DORA_RULES.join(', ')}; got "${rule}"; choose one`);
}

/** How strongly the difference counts in the lengths that DoRA divides by: |W + share d|. */
export function shareInLengths(rule: DoraRule, strength: number, ofOutputs: boolean): number {
  if (rule === 'peft') return strength;
  return rule === 'comfyui' && ofOutputs ? 0 : 1;
}

/** The new weight is (base.of * f + base.plus) W + (difference.of * f + difference.plus) d, where f is m over the lengths. */
export interface DoraTerms {
  readonly base: { readonly of: number; readonly plus: number };
  readonly difference: { readonly of: number; readonly plus: number };
}

/** By which factors a rule multiplies the weight and the difference. */
export function doraTerms(rule: DoraRule, strength: number): DoraTerms {
  const only = (of: number) => ({ of, plus: 0 });
  const towards = { of: strength, plus: 1 - strength };
  if (rule === 'peft') return { base: only(1), difference: only(strength) };
  if (rule === 'lycoris') return { base: towards, difference: towards };
  return { base: towards, difference: only(strength) };
}
