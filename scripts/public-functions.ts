// What the packages' users can call: every function, method and constructor that an entry of a package exports, by the compiler's own
// reading of the sources. For the tests of rules that hold for all of them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  API,
  type Checker,
  type Symbol as CompilerSymbol,
  type Project,
  type Signature,
  SignatureKind,
  SymbolFlags,
  type Type,
  TypeFlags,
} from 'typescript/unstable/sync';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

export interface Parameter {
  readonly name: string;
  readonly type: Type;
}

export interface PublicFunction {
  /** The package's entry, as it is imported. */
  readonly from: string;
  /** `unet`, `Checkpoint.readPart`, `new Adam`. */
  readonly name: string;
  readonly parameters: readonly Parameter[];
}

export interface PublicFunctions {
  readonly functions: readonly PublicFunction[];
  readonly checker: Checker;
  close(): void;
}

/** The source of each entry of each public package, by the name that it is imported under. */
export function publicEntries(): Map<string, string> {
  const entries = new Map<string, string>();
  for (const parent of ['packages', 'apps']) {
    for (const folder of readdirSync(join(root, parent)).map((name) => join(root, parent, name))) {
      if (!existsSync(join(folder, 'package.json'))) continue;
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        name: string;
        private?: boolean;
        exports?: Record<string, string | { default?: string }>;
      };
      if (manifest.private) continue;
      for (const [path, target] of Object.entries(manifest.exports ?? {})) {
        const file = typeof target === 'string' ? target : target.default;
        if (file?.endsWith('.ts')) entries.set(`${manifest.name}${path.slice(1)}`, join(folder, file));
      }
    }
  }
  return entries;
}

/** Private methods, and what arrays, tensors and the like have, are not the package's own. */
const isOwn = ({ name, declarations }: CompilerSymbol): boolean =>
  !name.includes('#') &&
  declarations.some(
    ({ path }) => path.toLowerCase().startsWith(root.toLowerCase()) && !path.includes('/node_modules/'),
  );

function functionsOf(from: string, file: string, project: Project): PublicFunction[] {
  const { checker, program } = project;
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (source === undefined || module === undefined)
    throw new Error(`${from}: an entry is a module; got ${file}; see exports of its package.json`);
  // Without undefined, so that what may be left out has the type that is given.
  const given = (type: Type): Type =>
    type.flags & TypeFlags.AnyOrUnknown ? type : (checker.getNonNullableType(type) ?? type);
  const signature = (name: string, each: Signature): PublicFunction => ({
    from,
    name,
    parameters: each.getParameters().map((parameter) => ({
      name: parameter.name,
      type: given(checker.getTypeOfSymbolAtLocation(parameter, source)),
    })),
  });
  const calls = (name: string, type: Type | undefined, kind = SignatureKind.Call): PublicFunction[] =>
    type === undefined ? [] : checker.getSignaturesOfType(type, kind).map((each) => signature(name, each));
  return checker.getExportsOfModule(module).flatMap((exported) => {
    const { name } = exported;
    const symbol = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const found: PublicFunction[] = [];
    if (symbol.flags & SymbolFlags.Value) {
      const type = checker.getTypeOfSymbolAtLocation(symbol, source);
      found.push(...calls(name, type), ...calls(`new ${name}`, type, SignatureKind.Construct));
    }
    if (symbol.flags & SymbolFlags.Type) {
      const type = checker.getDeclaredTypeOfSymbol(symbol);
      found.push(...calls(name, type));
      for (const each of checker.getPropertiesOfType(type).filter(isOwn)) {
        found.push(...calls(`${name}.${each.name}`, given(checker.getTypeOfSymbolAtLocation(each, source))));
      }
    }
    return found;
  });
}

/** Reads the whole project; `close` ends the compiler. */
export function publicFunctions(): PublicFunctions {
  const api = new API({ cwd: root });
  const config = join(root, 'tsconfig.json');
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
  if (project === undefined) throw new Error(`tsconfig.json: the compiler opens it; got nothing; look at ${config}`);
  const functions = [...publicEntries()].flatMap(([from, file]) => functionsOf(from, file, project));
  return { functions, checker: project.checker, close: () => api.close() };
}
