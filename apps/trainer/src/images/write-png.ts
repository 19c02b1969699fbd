import { encodePng, type RgbImage } from '@rass/images';
import { writeBeside } from '../files.ts';

/** Writes an image beside its place, and renames it. */
export const writePng = (path: string, image: RgbImage): Promise<void> => writeBeside(path, encodePng(image));
