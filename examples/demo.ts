// `npm run demo`: what there is so far, the frozen model that RASS adapts, in one forward pass. Its sizes are reduced and
// its weights random, since no published checkpoint is shipped: the shapes, names and times are real, the picture is not.
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { type BackendName, listBackends, selectBackend } from '@rass/kernels';
import { countParams, disposeParams, randomParams } from '@rass/nn';
import { clipText, clipTextParams, parseClipTextConfig, tokenPositions } from '@rass/text-encoder';
import { createTokenizer } from '@rass/text-encoder/presets';
import {
  attentionNames,
  noiseSchedule,
  oneStepUpdate,
  parseScheduleConfig,
  parseUnetConfig,
  unet,
  unetParams,
} from '@rass/unet';
import {
  parseVaeConfig,
  sampleLatents,
  scaleLatents,
  unscaleLatents,
  vaeDecode,
  vaeEncode,
  vaeParams,
} from '@rass/vae';
import { gather, memory, mul, sin, sum, type Tensor, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';

const TEXT_WIDTH = 64;
const SIDE = 128;
const PROMPT = 'building sky tree potted plant';
const WORD = 'potted plant';

const configs = {
  text: parseClipTextConfig({
    hidden_act: 'gelu',
    hidden_size: TEXT_WIDTH,
    intermediate_size: 256,
    num_attention_heads: 4,
    num_hidden_layers: 4,
  }),
  vae: parseVaeConfig({
    block_out_channels: [16, 32, 64, 64],
    down_block_types: Array(4).fill('DownEncoderBlock2D'),
    up_block_types: Array(4).fill('UpDecoderBlock2D'),
    layers_per_block: 2,
    latent_channels: 4,
    norm_num_groups: 8,
  }),
  unet: parseUnetConfig({
    attention_head_dim: [2, 4, 8, 8],
    block_out_channels: [32, 64, 128, 128],
    cross_attention_dim: TEXT_WIDTH,
    norm_num_groups: 8,
    use_linear_projection: true,
  }),
};

/** Something to look at without a file: waves of three colours. @shape [1, SIDE, SIDE, 3] in [-1, 1] */
function waves(): Tensor4D {
  const phases = Float32Array.from({ length: SIDE * SIDE * 3 }, (_, i) => {
    const [channel, column, row] = [i % 3, Math.floor(i / 3) % SIDE, Math.floor(i / 3 / SIDE)];
    return ((channel + 1) * (row + column)) / 16;
  });
  return tidy(() => sin(tensor(phases, [1, SIDE, SIDE, 3]))) as Tensor4D;
}

/** Runs a stage, waits for its result, and prints its time beside what the stage says of itself. */
async function stage<T>(
  name: string,
  run: () => T,
  result: (value: T) => Tensor,
  say: (value: T) => string,
): Promise<T> {
  const start = performance.now();
  const value = run();
  await result(value).data();
  console.log(`${name.padEnd(16)} ${`${(performance.now() - start).toFixed(0)} ms`.padStart(8)}   ${say(value)}`);
  return value;
}

async function pipeline(): Promise<void> {
  const tokens = createTokenizer({ preset: 'stable-diffusion-2' }).encodeBatch([PROMPT]);
  const start = PROMPT.indexOf(WORD);
  const positions = tokenPositions(tokens.tokens[0], start, start + WORD.length);
  console.log(
    `prompt           "${PROMPT}": "${WORD}" is at tokens ${positions.join(' and ')} of ${tokens.tokens[0].length}`,
  );
  const text = clipTextParams(randomParams(1), configs.text);
  const vae = vaeParams(randomParams(2), configs.vae);
  const denoiser = unetParams(randomParams(3), configs.unet);
  const counts = [text, vae, denoiser].map((tree) => `${(countParams(tree) / 1e6).toFixed(1)} M`);
  console.log(`parameters       text encoder ${counts[0]}, autoencoder ${counts[1]}, UNet ${counts[2]}\n`);

  const encodedText = await stage(
    'text encoder',
    () => clipText(text, tokens),
    (r) => r.lastHiddenState,
    (r) => `hidden states [${r.lastHiddenState.shape}]`,
  );
  const image = waves();
  const encoded = await stage(
    'VAE encoder',
    () => vaeEncode(vae, image),
    (r) => r.posterior.mean,
    (r) => `image [${image.shape}] to latents [${r.posterior.mean.shape}]`,
  );
  const z = tidy(() => scaleLatents(configs.vae, sampleLatents(encoded.posterior, { seed: 1 })));
  const places = attentionNames(configs.unet).filter(({ place, level }) => place === 'up' && level === 1);
  const name = places[0].name;
  const inputs = {
    sample_BHWC: z,
    timestep: 1,
    text_BTD: encodedText.lastHiddenState,
    attention: [name],
    taps: ['up_blocks.1'],
  };
  const step = await stage(
    'UNet at t = 1',
    () => unet(denoiser, inputs),
    (r) => r.sample,
    (r) => `noise [${r.sample.shape}], tap up_blocks.1 [${r.taps['up_blocks.1'].shape}]`,
  );
  const map = step.attention[name];
  const onWord = tidy(() => mul(sum(gather(map, positions, 3)), 1 / (map.shape[1] * map.shape[2])));
  console.log(
    `${''.padEnd(28)}${name}: [${map.shape}], "${WORD}" gets ${(100 * (await onWord.data())[0]).toFixed(1)} % of the attention`,
  );
  const schedule = noiseSchedule(
    parseScheduleConfig({ beta_schedule: 'scaled_linear', beta_start: 0.00085, beta_end: 0.012 }),
  );
  const restored = oneStepUpdate(schedule, step.sample, z, 1);
  const decoded = await stage(
    'VAE decoder',
    () => tidy(() => ({ ...vaeDecode(vae, unscaleLatents(configs.vae, restored)) })),
    (r) => r.image,
    (r) => `image [${r.image.shape}]`,
  );
  const { mean, logVariance } = encoded.posterior;
  const { lastHiddenState, pooled } = encodedText;
  const results = [
    image,
    mean,
    logVariance,
    z,
    lastHiddenState,
    pooled,
    step.sample,
    step.taps['up_blocks.1'],
    map,
    onWord,
    restored,
    decoded.image,
  ];
  for (const t of results) t.dispose();
  for (const tree of [text, vae, denoiser]) disposeParams(tree);
}

const { values } = parseArgs({ options: { backend: { type: 'string', default: 'auto' } } });
console.log('backends');
for (const status of await listBackends()) {
  console.log(`  ${status.name.padEnd(8)}${status.available ? status.description : `not here: ${status.reason}`}`);
}
const info = await selectBackend(values.backend as BackendName | 'auto');
console.log(`\nrunning on ${info.name}: ${info.description}`);
await pipeline();
console.log(`\n${memory().numBytes} bytes are held at the end`);
console.log("Next: `npm run rass -- backend check` measures the backend; the packages' READMEs show each part alone.");
