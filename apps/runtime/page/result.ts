import type { Attention, Picture, Segmentation } from '../src/index.ts';
import { element } from './elements.ts';

export interface Result {
  readonly given: ImageBitmap;
  readonly restored: Picture;
  readonly segmentation: Segmentation;
  readonly attention: Attention | undefined;
  /** Seconds of each stage. */
  readonly seconds: Readonly<Record<string, number>>;
}

type Layer = 'none' | 'classes' | 'attention';

const canvas = (id: string): HTMLCanvasElement => element(id, HTMLCanvasElement);

function draw(id: string, width: number, height: number, paint: (context: CanvasRenderingContext2D) => void): void {
  const target = canvas(id);
  target.width = width;
  target.height = height;
  paint(target.getContext('2d')!);
}

/** A class alone in its colour. */
async function only(segmentation: Segmentation, label: number): Promise<ImageData> {
  const all = await segmentation.toImageData();
  segmentation.labels.forEach((each, i) => {
    if (each !== label) all.data[4 * i + 3] = 0;
  });
  return all;
}

/** Shows results, and what lies over them. */
export class ResultView {
  #result: Result | undefined;
  #layer: Layer = 'classes';
  /** A class or a tag that alone is shown. */
  #chosen: string | undefined;
  #paints = 0;

  constructor() {
    const slider = element('slider', HTMLInputElement);
    const compare = element('compare', HTMLDivElement);
    slider.addEventListener('input', () => compare.style.setProperty('--cut', `${100 - slider.valueAsNumber}%`));
    this.#save('save-restored', 'restored.png', ({ restored }) => restored.toBlob());
    this.#save('save-labels', 'classes.png', ({ segmentation }) => segmentation.toBlob());
    for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="layer"]')) {
      radio.addEventListener('change', () => {
        this.#layer = radio.value as Layer;
        void this.#paint();
      });
    }
    const [layer, here] = [canvas('layer'), element('here', HTMLOutputElement)];
    compare.addEventListener('pointermove', (event) => {
      const { left, top, width, height } = layer.getBoundingClientRect();
      const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height];
      const found = this.#result?.segmentation.classAt(x * layer.width, y * layer.height);
      here.textContent = found?.name ?? '';
    });
    compare.addEventListener('pointerleave', () => {
      here.textContent = '';
    });
  }

  async show(result: Result): Promise<void> {
    const { given, restored } = result;
    const { width, height } = restored;
    const after = await restored.toImageData();
    this.#result = result;
    this.#chosen = undefined;
    draw('before', width, height, (context) => context.drawImage(given, 0, 0, width, height));
    draw('after', width, height, (context) => context.putImageData(after, 0, 0));
    this.#legend();
    await this.#paint();
    const times = element('times', HTMLDListElement);
    times.replaceChildren(
      ...Object.entries(result.seconds).flatMap(([name, seconds]) => {
        const [term, value] = [document.createElement('dt'), document.createElement('dd')];
        term.textContent = name;
        value.textContent = `${seconds.toFixed(2)} s`;
        return [term, value];
      }),
    );
    element('result', HTMLElement).hidden = false;
  }

  #save(id: string, name: string, blobOf: (result: Result) => Promise<Blob>): void {
    element(id, HTMLButtonElement).addEventListener('click', async () => {
      if (this.#result === undefined) return;
      const link = document.createElement('a');
      link.href = URL.createObjectURL(await blobOf(this.#result));
      link.download = name;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  #legend(): void {
    const { segmentation } = this.#result!;
    const list = element('legend', HTMLUListElement);
    list.replaceChildren(
      ...segmentation.classes.map(({ name, colour, share }) => {
        const [item, button, swatch] = [document.createElement('li'), document.createElement('button'), document.createElement('i')]; // biome-ignore format: one line
        button.type = 'button';
        button.setAttribute('aria-pressed', 'false');
        swatch.style.background = `rgb(${colour.join(' ')})`;
        button.append(swatch, `${name} ${(100 * share).toFixed(1)} %`);
        button.addEventListener('click', () => {
          this.#chosen = this.#chosen === name ? undefined : name;
          for (const other of list.querySelectorAll('button')) other.setAttribute('aria-pressed', String(other === button && this.#chosen === name)); // biome-ignore format: one line
          void this.#paint();
        });
        item.append(button);
        return item;
      }),
    );
  }

  /** What lies over the picture now; nothing where there is none. */
  async #overlay({ segmentation, attention }: Result): Promise<ImageData | undefined> {
    if (this.#layer === 'none') return undefined;
    if (this.#layer === 'classes') {
      const chosen = segmentation.classes.find(({ name }) => name === this.#chosen);
      return chosen === undefined ? segmentation.toImageData() : only(segmentation, chosen.label);
    }
    const tag = this.#chosen ?? attention?.tags[0];
    return tag !== undefined && attention?.tags.includes(tag) ? attention.toImageData(tag) : undefined;
  }

  async #paint(): Promise<void> {
    const result = this.#result;
    if (result === undefined) return;
    this.#paints += 1;
    const own = this.#paints;
    const image = await this.#overlay(result);
    // Another was asked for meanwhile.
    if (own !== this.#paints) return;
    const { width, height } = result.segmentation;
    draw('layer', width, height, (context) => {
      if (image !== undefined) context.putImageData(image, 0, 0);
    });
  }
}
