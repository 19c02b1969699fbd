import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@rass/weights/node';
import { afterAll, expect, it } from 'vitest';
import { rass } from './rass.test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'rass-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));

const lora = join(import.meta.dirname, '../../../../test-fixtures/golden/lora');

function inspected(...args: string[]): string {
  const { status, stdout, stderr } = rass('inspect', ...args);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

it('says that a folder is of PEFT, with its ranks and alphas', () => {
  const text = inspected(join(lora, 'files/peft-dora'));
  expect(text).toContain("an adapter, in the format of peft; alpha in PEFT's configuration");
  expect(text).toContain(
    'one model: DoRA, 25 layers\n  rank: 2 on 14, 1 on 11\n  alpha: 3 (scale 3) on 11, 3 (scale 1.5) on 10, 5 (scale 2.5) on 4\n',
  );
  expect(text).toContain('fits: its sizes do not say');
  const { adapter } = JSON.parse(inspected(join(lora, 'files/peft-whole'), '--json'));
  expect(adapter).toMatchObject({ format: 'peft', alpha: 'configuration', others: 0 });
  expect(adapter.components).toMatchObject([
    {
      names: [],
      whole: 2,
      ranks: [{ rank: 2 }],
      alphas: [{ alpha: 3, scale: 1.5 }],
      kinds: { LoRA: adapter.components[0].layers },
    },
  ]);
});

it('says what a file has for each part, by its own tensors', () => {
  const text = inspected(join(lora, 'files/diffusers.safetensors'));
  expect(text).toContain('unet: LoRA');
  expect(text).toContain('text_encoder: LoRA, 1 layers');
  const kinds = (name: string) => JSON.parse(inspected(join(lora, `lycoris/${name}.safetensors`), '--json')).adapter;
  expect(kinds('loha')).toMatchObject({
    format: 'kohya',
    alpha: 'file',
    components: [{ kinds: { LoHa: 4 }, ranks: [{ rank: 2, layers: 4 }] }],
  });
  expect(kinds('lokr')).toMatchObject({ components: [{ kinds: { LoKr: 4 } }] });
  expect(kinds('full')).toMatchObject({ components: [{ kinds: { 'whole differences': 5 }, ranks: [] }] });
  expect(inspected(join(lora, 'files/rass.pkl'))).toMatch(
    /an adapter, of RASS's and OSEDiff's layout; alpha none in the file: PEFT's default\nunet: LoRA, \d+ layers\n {2}adapters: default_encoder, default_decoder, default_others\n {2}rank: 4\n {2}alpha: 8 \(scale 2\)\n {2}trained whole: 1 layers/,
  );
  const parts = JSON.parse(inspected(join(lora, 'files/osediff.pkl'), '--json')).adapter.components;
  expect(parts.map(({ component }: { component: string }) => component)).toEqual(['unet', 'vae']);
});

it.each([
  [768, 'Stable Diffusion 1.x'],
  [1024, 'Stable Diffusion 2.x'],
  [2048, 'Stable Diffusion XL'],
])('tells by %d channels of text that it fits %s', async (width, fits) => {
  const path = join(folder, `${width}.safetensors`);
  const at = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k';
  const tensor = (...shape: number[]) => ({
    dtype: 'F32' as const,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(2),
  });
  await saveSafetensors(path, {
    [`${at}.lora_down.weight`]: tensor(4, width),
    [`${at}.lora_up.weight`]: tensor(320, 4),
    [`${at}.alpha`]: tensor(),
    'bundle_emb.x.string_to_param.*': tensor(2, 8),
  });
  const text = inspected(path);
  expect(text).toContain(`rank: 4\n  alpha: 2 (scale 0.5)\n  fits: ${fits}\n1 other tensors`);
});

it('says no more than what it is of other weights, and why an adapter cannot be read', async () => {
  const path = join(folder, 'plain.safetensors');
  await saveSafetensors(path, { 'conv_in.weight': { dtype: 'F32', shape: [1], data: Float32Array.of(1) } });
  expect(inspected(path)).not.toContain('adapter');
  const config = join(folder, 'adapter_config.json');
  const file = join(folder, 'adapter_model.safetensors');
  const factor = { dtype: 'F32', shape: [1, 1], data: Float32Array.of(1) } as const;
  await saveSafetensors(file, {
    'base_model.model.q.lora_A.weight': factor,
    'base_model.model.q.lora_B.weight': factor,
  });
  expect(inspected(file)).toContain('alpha unknown: adapter_config.json, which says it, is not beside the file');
  writeFileSync(config, JSON.stringify({ peft_type: 'LOHA' }));
  expect(inspected(folder)).toContain('an adapter that cannot be read: ');
  expect(inspected(folder)).toContain('the adapter is a LoRA; got peft_type "LOHA"');
});
