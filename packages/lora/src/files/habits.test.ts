import { activateBackend, expectClose, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { addAdapterState } from '../convert.ts';
import { baseUnet, runUnet } from '../golden.test-support.ts';
import type { AdapterState, HostTensor, LoraUpdate } from '../state.ts';
import { paths, Q, tensors } from './files.test-support.ts';
import { openAdapter as openBytes } from './open-adapter.ts';
import { layerShapes } from './shapes.ts';
import { encodeAdapter } from './write-adapter.ts';

describe("files of other programs' habits", () => {
  it("are read: a PEFT model's state without a configuration, with PEFT's default alpha, 8", async () => {
    const [rank, name] = [4, 'default_encoder_pix'];
    const keys = { [`${Q}.lora_A.${name}.weight`]: [rank, 8], [`${Q}.lora_B.${name}.weight`]: [8, rank] };
    const bytes = await tensors(keys);
    const { adapters, report } = await openBytes(bytes, { paths });
    expect((adapters[name].layers.get(Q) as LoraUpdate).alpha).toBe(8);
    expect(report).toMatchObject({ format: 'peft', alpha: 'peft' });
    expect(`${report}`).toContain("alpha: none in the file; PEFT's default, 8");
    const given = await openBytes(bytes, { paths, alpha: 16 });
    expect((given.adapters[name].layers.get(Q) as LoraUpdate).alpha).toBe(16);
    expect(given.report.alpha).toBe('given');
    const config = { r: rank, lora_alpha: 2, target_modules: ['to_q'] };
    const configured = await openBytes(bytes, { paths, config, alpha: 16 });
    expect((configured.adapters[name].layers.get(Q) as LoraUpdate).alpha).toBe(2);
    await expect(openBytes(bytes, { paths, alpha: 0 })).rejects.toThrow(
      'alpha is a number, not zero; got 0; give another, or leave it out',
    );
  });

  it("are read: ComfyUI's, with the original names and their dots", async () => {
    const at = 'diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q';
    const { adapters } = await openBytes(
      await tensors({ [`${at}.lora_A.weight`]: [2, 8], [`${at}.lora_B.weight`]: [8, 2] }),
      { paths },
    );
    expect([...adapters.default.layers.keys()]).toEqual([Q]);
  });

  it('are read and run: a linear layer as a convolution of 1 x 1', async () => {
    const flat = { [`${Q}.lora_A.weight`]: [2, 8], [`${Q}.lora_B.weight`]: [8, 2] };
    const square = { [`${Q}.lora_A.weight`]: [2, 8, 1, 1], [`${Q}.lora_B.weight`]: [8, 2, 1, 1] };
    await activateBackend('cpu');
    const base = await baseUnet();
    const run = async (shapes: Record<string, number[]>) => {
      const { adapters } = await openBytes(await tensors(shapes), { shapes: layerShapes(base) });
      return runUnet(addAdapterState(base, adapters.default), loadGolden('lora/plain')).data();
    };
    await expectClose((await run(square)) as Float32Array, (await run(flat)) as Float32Array, { relative: 0 });
  });

  it("are read: a stage's own file, whose first convolution is trained whole beneath a product", async () => {
    const name = 'default_encoder';
    const stage = {
      [`conv_in.lora_A.${name}.weight`]: [4, 4, 3, 3],
      [`conv_in.lora_B.${name}.weight`]: [8, 4, 1, 1],
      'conv_in.weight': [8, 4, 3, 3],
      'conv_in.bias': [8],
      [`mid_block.attentions.0.proj_in.lora_A.default_others.weight`]: [4, 8],
      [`mid_block.attentions.0.proj_in.lora_B.default_others.weight`]: [8, 4],
    };
    const { adapters, report } = await openBytes(await tensors(stage), { paths });
    expect(Object.keys(adapters)).toEqual([name, 'default_others']);
    expect([...(adapters[name] as AdapterState).whole.keys()]).toEqual(['conv_in.weight', 'conv_in.bias']);
    expect(report.used.length).toBe(6);
    await expect(openBytes(await tensors({ ...stage, 'conv_out.weight': [4, 8, 3, 3] }), { paths })).rejects.toThrow(
      'unused (1):\n  conv_out.weight',
    );
  });

  it('have a layer that is trained whole with its product in it, as PEFT gives it none', () => {
    const of = (shape: number[], ...data: number[]): HostTensor => ({ shape, data: Float32Array.from(data) });
    const lora = { kind: 'lora', down: of([1, 2], 1, 10), up: of([1, 1], 2), alpha: 3 } as const;
    const plain = new Map<string, LoraUpdate>([
      ['conv_in', { ...lora, upBias: of([1], 7) }],
      ['a.to_q', lora],
    ]);
    const whole = new Map([
      ['conv_in.weight', of([1, 2], 100, 200)],
      ['conv_in.bias', of([1], 5)],
    ]);
    const state: AdapterState = { rsLora: false, layers: plain, whole };
    const { tensors: written, config } = encodeAdapter(state, { format: 'peft' });
    const under = 'base_model.model.';
    expect(Object.keys(written).sort()).toEqual(
      ['a.to_q.lora_A.weight', 'a.to_q.lora_B.weight', 'conv_in.bias', 'conv_in.weight'].map((key) => under + key),
    );
    // 100 + 3 * 2 * 1, 200 + 3 * 2 * 10, 5 + 3 * 7
    expect([...(written[`${under}conv_in.weight`].data as Float32Array)]).toEqual([106, 260]);
    expect([...(written[`${under}conv_in.bias`].data as Float32Array)]).toEqual([26]);
    expect(config).toMatchObject({ modules_to_save: ['conv_in'], lora_alpha: 3, r: 1 });
    const layers = new Map<string, LoraUpdate>([['down.conv_in', lora]]);
    expect(() => encodeAdapter({ ...state, layers }, { format: 'peft' })).toThrow(
      'lora: peft takes modules_to_save by the ends and the parts of paths; got conv_in, which mean down.conv_in too, a layer with a product alone; train that whole too, or leave one of them out',
    );
    expect(() => encodeAdapter({ ...state, layers: new Map([['conv_in', lora]]) }, { format: 'peft' })).toThrow(
      'lora: peft files have a layer with a product; got layers trained whole alone, conv_in; give one, or write a checkpoint',
    );
    const noBias = new Map([['conv_in.weight', of([1, 2], 100, 200)]]);
    expect(() => encodeAdapter({ ...state, whole: noBias }, { format: 'peft' })).toThrow(
      'lora: conv_in: a bias of a product goes into the bias of a layer trained whole; got none; write it without modulesToSave',
    );
  });
});
