import { join } from 'node:path';
import { encodePng } from '@rass/images';
import { writeBeside } from '../files.ts';
import type { CaptionedPicture, LegendEntry, SheetRow } from './task.ts';

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** A text as it may stand in HTML. */
const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (each) => ESCAPES[each]!);

/** A picture as the text of an image's source. */
function dataUri({ width, height, data }: CaptionedPicture['picture']): string {
  const png = encodePng({ width, height, data });
  return `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
}

const figure = ({ caption, picture }: CaptionedPicture): string =>
  `<figure><img src="${dataUri(picture)}" width="${picture.width}" height="${picture.height}" alt="${escapeHtml(caption)}">` +
  `<figcaption>${escapeHtml(caption)}</figcaption></figure>`;

const entry = ({ name, colour, share }: LegendEntry): string =>
  `<li><i style="background: rgb(${colour.join(' ')})"></i>${escapeHtml(name)} ${(100 * share).toFixed(1)} %</li>`;

const row = ({ title, pictures, legend = [] }: SheetRow): string =>
  `<section><h2>${escapeHtml(title)}</h2><div class="row">${pictures.map(figure).join('')}</div>` +
  `${legend.length > 0 ? `<ul>${legend.map(entry).join('')}</ul>` : ''}</section>`;

const STYLE = `
  body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; background: #fff; color: #1d1d1f; }
  h1 { font-size: 1.2rem; } h2 { font-size: 0.95rem; margin: 1.2rem 0 0.4rem; }
  .row { display: flex; flex-wrap: wrap; gap: 0.6rem; } figure { margin: 0; }
  img { image-rendering: pixelated; display: block; max-width: 100%; height: auto; }
  table { border-collapse: collapse; margin: 0.8rem 0; } th, td { padding: 0.2rem 0.9rem 0.2rem 0; text-align: left; }
  ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; list-style: none; margin: 0.3rem 0 0; padding: 0; font-size: 0.8rem; }
  i { display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.35rem; vertical-align: -0.1rem; }
  figcaption { font-size: 0.8rem; color: #555; max-width: 16rem; }
  @media (prefers-color-scheme: dark) { body { background: #16161a; color: #eee; } figcaption { color: #aaa; } }`;

/** A table as HTML; the first row is its head. */
function htmlTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${cells('th', head)}${rows.map((row) => cells('td', row)).join('')}</table>`;
}

/** A page of pictures: one row for each sample, each picture with what it is. `tables`: rows of texts that stand before them. */
export function sheetPage(
  title: string,
  note: string,
  rows: readonly SheetRow[],
  tables: readonly (readonly (readonly string[])[])[] = [],
): string {
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><h1>${escapeHtml(title)}</h1>` +
    `<p>${escapeHtml(note)}</p>${tables.map(htmlTable).join('')}${rows.map(row).join('')}</body></html>\n`
  );
}

/** Writes the page of a validation: step-00000100.html. Nothing where there are no rows. */
export async function writeSheet(
  folder: string,
  step: number,
  rows: readonly SheetRow[],
  metrics: Readonly<Record<string, number>>,
): Promise<void> {
  if (rows.length === 0) return;
  const note = Object.entries(metrics)
    .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
    .join(' · ');
  const page = sheetPage(`Step ${step}`, note, rows);
  const path = join(folder, `step-${String(step).padStart(8, '0')}.html`);
  await writeBeside(path, page);
}
