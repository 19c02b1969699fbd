import { element } from './elements.ts';

/** Tells of each photograph that is chosen, dropped, pasted, or picked among the samples. */
export function listenForPhotographs(
  samples: readonly string[],
  onPhotograph: (photograph: Blob | string) => void,
): void {
  const [drop, file] = [element('drop', HTMLLabelElement), element('file', HTMLInputElement)];
  file.addEventListener('change', () => {
    const [chosen] = file.files ?? [];
    // The same file may be chosen again.
    file.value = '';
    if (chosen !== undefined) onPhotograph(chosen);
  });
  for (const name of ['dragover', 'dragleave', 'drop'] as const) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', name === 'dragover');
      const [dropped] = name === 'drop' ? (event.dataTransfer?.files ?? []) : [];
      if (dropped !== undefined) onPhotograph(dropped);
    });
  }
  document.addEventListener('paste', ({ clipboardData }) => {
    const [pasted] = clipboardData?.files ?? [];
    if (pasted !== undefined) onPhotograph(pasted);
  });
  const list = element('samples', HTMLFieldSetElement);
  for (const url of samples) {
    const button = document.createElement('button');
    const name = url.split('/').at(-1)!.replace(/\..*$/, '');
    button.type = 'button';
    button.title = name;
    const picture = document.createElement('img');
    picture.src = url;
    picture.alt = `Sample: ${name}`;
    picture.loading = 'lazy';
    button.append(picture);
    button.addEventListener('click', () => onPhotograph(url));
    list.append(button);
  }
}

/** The button that shows the camera's picture, and takes it when it is pressed again. */
export function listenForCamera(
  onPhotograph: (photograph: ImageBitmap) => void,
  onError: (error: unknown) => void,
): void {
  const [button, video] = [element('camera', HTMLButtonElement), element('video', HTMLVideoElement)];
  const text = button.textContent;
  let stream: MediaStream | undefined;
  const end = (): void => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = undefined;
    video.hidden = true;
    button.textContent = text;
  };
  button.addEventListener('click', async () => {
    try {
      if (stream === undefined) {
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
        video.srcObject = stream;
        video.hidden = false;
        await video.play();
        button.textContent = 'Take it';
        return;
      }
      const photograph = await createImageBitmap(video);
      end();
      onPhotograph(photograph);
    } catch (error) {
      end();
      onError(error);
    }
  });
}
