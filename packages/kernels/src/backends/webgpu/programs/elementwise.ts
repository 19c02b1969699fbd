import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import { type Call, runFlat, typeOf, vectorOf } from './program.ts';

/** OpenAI's slope. */
const QUICK_GELU_SLOPE = 1.702;

/** The error function by its polynomial times exp(-x^2), to 1.5e-7. @source Abramowitz and Stegun 7.1.26 */
const ERF = (type: string): string => `
fn erf_(x: ${type}) -> ${type} {
  let t = 1.0 / (1.0 + 0.3275911 * abs(x));
  let y = 1.0 - (((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-x * x);
  return sign(x) * y;
}`;

const BODIES = {
  silu: 'x_ / (1.0 + exp(-x_))',
  quickGelu: `x_ / (1.0 + exp(-${QUICK_GELU_SLOPE} * x_))`,
  gelu: `0.5 * x_ * (1.0 + erf_(x_ * ${Math.SQRT1_2}))`,
} as const;

/** A function of each value. */
export function elementwise(name: keyof typeof BODIES) {
  return ({ inputs, backend }: Call): TensorInfo => {
    const { x } = inputs as { x: TensorInfo };
    const all = util.sizeFromShape(x.shape);
    const components = vectorOf(all);
    const y = runFlat(
      { inputs: { x: { ...x, shape: [1, all] } }, backend },
      {
        key: `${name}_${components}`,
        inputs: { x: components },
        shape: [1, all],
        output: components,
        threads: all / components,
        declarations: name === 'gelu' ? ERF(typeOf(components)) : '',
        main: `
        let x_ = x[index];
        result[index] = ${BODIES[name]};`,
      },
    );
    return { ...y, shape: x.shape };
  };
}

/** The first half of a row times gelu of the second. */
export function geglu({ inputs, backend }: Call): TensorInfo {
  const { x } = inputs as { x: TensorInfo };
  const shape = [...x.shape.slice(0, -1), x.shape.at(-1)! / 2];
  const all = util.sizeFromShape(shape);
  const components = vectorOf(shape.at(-1)!);
  const width = shape.at(-1)! / components;
  const y = runFlat(
    { inputs: { x: { ...x, shape: [1, 2 * all] } }, backend },
    {
      key: `geglu_${components}`,
      inputs: { x: components },
      shape: [1, all],
      output: components,
      threads: all / components,
      numbers: { width },
      declarations: ERF(typeOf(components)),
      main: `
      let at = (index / uniforms.width) * 2 * uniforms.width + index % uniforms.width;
      let x_ = x[at + uniforms.width];
      result[index] = x[at] * ${BODIES.gelu};`,
    },
  );
  return { ...y, shape };
}
