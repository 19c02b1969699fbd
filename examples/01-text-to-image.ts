// pnpm example 01 <folder> "<prompt>" [--steps 20] [--size 512] [--guidance 7.5] [--seed 0] [--out image.ppm]
// A Stable Diffusion 1.x or 2.x folder as diffusers saves it, to a picture, by DDIM with classifier-free guidance.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { selectBackend } from '@rass/kernels';
import { normalNoise } from '@rass/nn';
import { clipText, loadClipText, parseClipTextConfig, tokenizerFromFiles } from '@rass/text-encoder';
import { ddimStep, ddimSteps, noiseSchedule, parseScheduleConfig, parseUnetConfig, unet, unetParams } from '@rass/unet';
import { parseVaeConfig, unscaleLatents, vaeDecode, vaeDecoderParams } from '@rass/vae';
import { loadParams } from '@rass/weights';
import { openDiffusersFolder } from '@rass/weights/node';
import { add, clipByValue, concat, mul, slice, sub, type Tensor4D, tidy } from '@tensorflow/tfjs-core';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '20' },
    size: { type: 'string', default: '512' },
    guidance: { type: 'string', default: '7.5' },
    seed: { type: 'string', default: '0' },
    out: { type: 'string', default: 'image.ppm' },
  },
});
const [path, prompt] = positionals;
if (path === undefined || prompt === undefined)
  throw new Error('01: a folder and a prompt are needed; got fewer; give both');

console.log((await selectBackend()).description);
const folder = await openDiffusersFolder(path);
const { textEncoder, vae, tokenizer: tokenizerFiles, scheduler } = folder;
if (!folder.unet || !vae || !textEncoder || !tokenizerFiles || !scheduler) {
  throw new Error(`01: a whole pipeline is needed; ${path} lacks a part; save it with diffusers' save_pretrained`);
}

// Half of the VAE's checkpoint is the encoder, which nothing here uses.
const vaeConfig = parseVaeConfig(vae.config);
const decoder = await loadParams(vae.checkpoint, (from) => vaeDecoderParams(from, vaeConfig), {
  allowUnused: [/^(encoder|quant_conv)\./],
});
const unetConfig = parseUnetConfig(folder.unet.config);
const denoiser = await loadParams(folder.unet.checkpoint, (from) => unetParams(from, unetConfig));
const text = await loadClipText(textEncoder.checkpoint, parseClipTextConfig(textEncoder.config));

// The empty prompt and the asked one go through together; guidance moves from the one to the other, and beyond.
const text_BTD = clipText(text.params, tokenizerFromFiles(tokenizerFiles).encodeBatch(['', prompt])).lastHiddenState;
const schedule = noiseSchedule(parseScheduleConfig(scheduler));
const side = Number(values.size) / 2 ** (vaeConfig.blockOutChannels.length - 1);
let sample: Tensor4D = normalNoise([1, side, side, unetConfig.inChannels], Number(values.seed));
for (const step of ddimSteps(schedule, Number(values.steps))) {
  const previous: Tensor4D = tidy(() => {
    const twice = concat([sample, sample], 0);
    const both = unet(denoiser.params, { sample_BHWC: twice, timestep: step.timestep, text_BTD }).sample;
    const [without, asked] = [0, 1].map((row) => slice(both, [row, 0, 0, 0], [1, -1, -1, -1]));
    const prediction: Tensor4D = add(without, mul(sub(asked, without), Number(values.guidance)));
    return ddimStep(schedule, { sample, prediction }, step).previous;
  });
  sample.dispose();
  sample = previous;
  console.log(`step at t = ${step.timestep}`);
}
const image = tidy(() =>
  clipByValue(mul(add(vaeDecode(decoder.params, unscaleLatents(vaeConfig, sample)).image, 1), 127.5), 0, 255),
);
const [, height, width] = image.shape;
const header = `P6\n${width} ${height}\n255\n`;
await writeFile(values.out, Buffer.concat([Buffer.from(header), Uint8Array.from(await image.data(), Math.round)]));
console.log(`${values.out}: ${width} x ${height}`);
await folder.close();
