import { isMissingPackage } from './environment.ts';
import { BackendError } from './errors.ts';

/** Loads an optional peer package. @throws BackendError not-installed, naming the command that installs it */
export async function loadPeer<T>(backend: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!isMissingPackage(error, name)) throw error;
    throw new BackendError(
      'not-installed',
      `${backend} backend: the package ${name} must be installed; it is not found; run \`npm install ${name}\``,
      { cause: error },
    );
  }
}
