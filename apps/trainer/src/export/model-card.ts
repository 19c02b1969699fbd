import { printable } from '@rass/nn';
import type { Stages } from '@rass/pipeline';
import { loraText } from '../model/lora-text.ts';
import { megabytes } from '../terminal.ts';
import type { Converted, Precision } from './convert.ts';

/** A file of weights. */
export interface ExportedFile extends Converted {
  readonly path: string;
}

/** A name as Markdown's own text: nothing in it is markup. */
const markdownText = (name: string): string => printable(name).replace(/[\\`*_{}[\]<>()#+!|~&]/g, '\\$&');

/** A path in a table: as code, where it has nothing that would end it. */
const markdownPath = (path: string): string => (/^[\w./ -]+$/.test(path) ? `\`${path}\`` : markdownText(path));

/** A name as a word of a command. */
const shellWord = (name: string): string => {
  const line = printable(name);
  return /^[\w./@-]+$/.test(line) ? line : `'${line.replace(/['`]/g, '_')}'`;
};

/** What a model is, for those who find its folder. */
export function modelCard(name: string, stages: Stages, files: readonly ExportedFile[], precision: Precision): string {
  const { restoration, segmentation } = stages;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const rows = files.map(
    ({ path, numbers, bytes }) => `| ${markdownPath(path)} | ${numbers.toLocaleString('en')} | ${megabytes(bytes)} |`,
  );
  const does = [restoration && 'restores photographs in one step', segmentation && 'segments them'].filter(Boolean);
  const uses = [
    segmentation &&
      `rass segment photos/ --model ${shellWord(name)} --out results${restoration ? '' : ' --no-restored'}`,
    restoration && `rass restore photo.jpg --model ${shellWord(name)} --out restored`,
  ].filter((use) => use !== undefined);
  const classes = segmentation?.classes.map((each) => markdownText(each.name)).join(', ');
  return [
    '---',
    'library_name: rass',
    'license: apache-2.0',
    'pipeline_tag: image-segmentation',
    '---',
    '',
    `# ${markdownText(name)}`,
    '',
    `A model in diffusers' layout that ${does.length > 0 ? does.join(' and ') : 'these packages trained'}; ${precision}, ${megabytes(total)} in all.`,
    '',
    ...(segmentation ? [`Classes: ${classes}.`, ''] : []),
    ...(uses.length > 0 ? ['```sh', ...uses, '```', ''] : []),
    '| file | numbers | size |',
    '| --- | ---: | ---: |',
    ...rows,
    '',
    ...(restoration
      ? [`SCR LoRA: ${loraText(restoration)}, latents ${restoration.latentUpdate}, timestep ${restoration.timestep}.`]
      : []),
    ...(segmentation
      ? [
          `Seg LoRA: ${loraText(segmentation)}, on the ${segmentation.mergesRestoration ? 'restoring' : 'frozen'} model; trained at ${segmentation.size ?? 'unknown'} pixels.`,
        ]
      : []),
    '',
  ].join('\n');
}
