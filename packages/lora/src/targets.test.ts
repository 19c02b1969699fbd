import { disposeParams } from '@rass/nn';
import { activateBackend, loadGolden } from '@rass/testkit';
import { expect, it } from 'vitest';
import { baseUnet } from './golden.test-support.ts';
import { matchTargets } from './index.ts';
import { layersOf } from './names.ts';

interface Way {
  target_modules: string[] | string;
  exclude_modules?: string[] | string;
  layers: string[];
}

const ways: Record<string, Way> = loadGolden('lora/targets').config;

it.each(Object.entries(ways))(
  'means the layers that peft means: %s',
  async (_, { target_modules, exclude_modules, layers }) => {
    await activateBackend('cpu');
    const base = await baseUnet();
    const found = matchTargets(layersOf(base), { targets: target_modules, exclude: exclude_modules });
    expect(found.map(({ path }) => path).sort()).toEqual(layers);
    disposeParams(base);
  },
);
