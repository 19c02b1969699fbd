import { describeOnBackends, expectClose } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { arithmeticCases } from './cases/arithmetic.test-support.ts';
import { arrayCases } from './cases/arrays.test-support.ts';
import { linearCases } from './cases/linear.test-support.ts';
import { analyticGradients, outputOf, referenceOf } from './cases/reference.test-support.ts';
import { kernelGradients } from './registry.ts';

const cases = [...arithmeticCases, ...arrayCases, ...linearCases];

describe('gradient registry', () => {
  it('has a case for each kernel', () => {
    const covered = new Set(cases.flatMap(({ covers }) => covers));
    const registered = kernelGradients.map(({ kernel }) => kernel);
    expect(registered.filter((kernel) => !covered.has(kernel))).toEqual([]);
    expect([...covered].filter((kernel) => !registered.includes(kernel))).toEqual([]);
  });

  it('names each kernel and each case once', () => {
    const twice = (names: string[]): string[] => names.filter((name, i) => names.indexOf(name) !== i);
    expect(twice(kernelGradients.map(({ kernel }) => kernel))).toEqual([]);
    expect(twice(cases.map(({ name }) => name))).toEqual([]);
  });
});

describeOnBackends('gradients', (backend) => {
  it.each(cases.map((gradientCase) => [gradientCase.name, gradientCase] as const))('%s', async (_, gradientCase) => {
    const { output, probes, gradients } = await referenceOf(gradientCase, backend);
    const relative = (backend === 'webgpu' && gradientCase.webgpuTolerance) || 1e-4;
    await expectClose(await outputOf(gradientCase), output, { relative, label: 'output' });
    const found = await analyticGradients(gradientCase);
    for (let i = 0; i < probes.length; i++) {
      const { positions, slopes } = probes[i];
      const probed = positions.map((position) => found[i][position]);
      await expectClose(probed, slopes, { relative: 1e-3, label: `gradient ${i} against finite differences` });
      await expectClose(found[i], gradients[i], { relative: 1e-3, label: `gradient ${i} against the cpu backend` });
    }
  });
});
