// Compiles the decoders of @rass/images, libjpeg-turbo, libpng, libwebp and Little CMS, with the doors in packages/images/wasm, and keeps each
// module as text in the package's sources:
//   node scripts/wasm-codecs.mjs [folder of the libraries' archives]
// The compiler is Zig's C compiler, of a Python with ziglang 0.13.0 (RASS_ZIG_PYTHON, else python3). Archives that are missing are fetched.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { root } from './toolchain.mjs';

const ZIG = '0.13.0';
const PYTHON = process.env.RASS_ZIG_PYTHON ?? 'python3';
const PACKAGE = join(root, 'packages', 'images');
const POOL = 'http://deb.debian.org/debian/pool/main';

/** The libraries as Debian keeps their releases. */
const LIBRARIES = {
  jpeg: {
    url: `${POOL}/libj/libjpeg-turbo/libjpeg-turbo_3.1.3.orig.tar.gz`,
    sha256: '3a13a5ba767dc8264bc40b185e41368a80d5d5f945944d1dbaa4b2fb0099f4e5',
  },
  png: {
    url: `${POOL}/libp/libpng1.6/libpng1.6_1.6.48.orig.tar.gz`,
    sha256: 'b17e99026055727e8cba99160c3a9a7f9af788e9f786daeadded5a42243f1dd0',
  },
  zlib: {
    url: `${POOL}/z/zlib/zlib_1.3.dfsg+really1.3.1.orig.tar.gz`,
    sha256: '60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb',
  },
  webp: {
    url: `${POOL}/libw/libwebp/libwebp_1.6.0.orig.tar.gz`,
    sha256: 'e4ab7009bf0629fd11982d4c2aa83964cf244cffba7347ecd39019a9e38c4564',
  },
  lcms: {
    url: `${POOL}/l/lcms2/lcms2_2.16.orig.tar.gz`,
    sha256: 'd873d34ad8b9b4cea010631f1a6228d2087475e4dc5e763eb81acc23d9d45a51',
  },
};

/** What the licences ask to stand beside the modules. */
const LICENCES = [
  ['libjpeg-turbo 3.1.3', 'jpeg', ['LICENSE.md']],
  ['libpng 1.6.48', 'png', ['LICENSE']],
  ['zlib 1.3.1', 'zlib', ['LICENSE']],
  ['libwebp 1.6.0', 'webp', ['COPYING', 'PATENTS']],
  ['Little CMS 2.16', 'lcms', ['LICENSE']],
  ['wasi-libc', 'wasi', ['LICENSE-MIT']],
];

const named = (folder, names) => names.map((name) => join(folder, `${name}.c`));
const cOf = (folder, except = /^$/) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.c') && !except.test(name))
    .sort()
    .map((name) => join(folder, name));

const JPEG_CONFIG = `#define JPEG_LIB_VERSION 62
#define LIBJPEG_TURBO_VERSION 3.1.3
#define LIBJPEG_TURBO_VERSION_NUMBER 3001003
#define D_ARITH_CODING_SUPPORTED 1
#define MEM_SRCDST_SUPPORTED 1
#ifndef BITS_IN_JSAMPLE
#define BITS_IN_JSAMPLE 8
#endif
`;
const JPEG_INTERNAL_CONFIG = `#define BUILD ""
#define HIDDEN
#define INLINE inline
#define THREAD_LOCAL
#define PACKAGE_NAME "libjpeg-turbo"
#define VERSION "3.1.3"
#define SIZEOF_SIZE_T 4
#define HAVE_BUILTIN_CTZL
#define FALLTHROUGH __attribute__((fallthrough));
#undef D_ARITH_CODING_SUPPORTED
#if BITS_IN_JSAMPLE == 8
#define D_ARITH_CODING_SUPPORTED 1
#endif
`;
const NAMES_OF_JPEG = {
  once: 'jaricom jcomapi jdapimin jdatasrc jdarith jdhuff jdicc jdinput jdlhuff jdmarker jdmaster jdphuff jmemmgr jmemnobs jpeg_nbits',
  8: 'jdapistd jddiffct jdcolor jdlossls jdmainct jdpostct jdsample jutils jdcoefct jddctmgr jdmerge jidctflt jidctfst jidctint jidctred jquant1 jquant2',
  12: 'jdapistd jddiffct jdcolor jdlossls jdmainct jdpostct jdsample jutils jdcoefct jddctmgr jdmerge jidctflt jidctfst jidctint jidctred jquant1 jquant2',
  16: 'jdapistd jddiffct jdcolor jdlossls jdmainct jdpostct jdsample jutils',
};
/** Text would be inflated though nobody reads it; the rest needs what a module in WebAssembly lacks. */
const NOT_OF_PNG = 'TEXT READ_TEXT READ_tEXt READ_zTXt READ_iTXt tEXt zTXt iTXt READ_sPLT sPLT SETJMP STDIO CONSOLE_IO SIMPLIFIED_READ SIMPLIFIED_WRITE'; // biome-ignore format: one line

function jpegSources({ jpeg }, made) {
  const src = join(jpeg, 'src');
  writeFileSync(join(made, 'jconfig.h'), JPEG_CONFIG);
  writeFileSync(join(made, 'jconfigint.h'), JPEG_INTERNAL_CONFIG);
  writeFileSync(join(made, 'jversion.h'), readFileSync(join(src, 'jversion.h.in')));
  const files = Object.entries(NAMES_OF_JPEG).flatMap(([bits, names]) =>
    bits === 'once'
      ? named(src, names.split(' '))
      : named(
          join(src, 'wrapper'),
          names.split(' ').map((name) => `${name}-${bits}`),
        ),
  );
  return { files, include: [made, src], defines: ['NO_GETENV'] };
}

function pngSources({ png, zlib }, made) {
  const config = readFileSync(join(png, 'scripts', 'pnglibconf.h.prebuilt'), 'utf8');
  const undefined_ = NOT_OF_PNG.split(' ').map((name) => `#undef PNG_${name}_SUPPORTED\n`);
  writeFileSync(
    join(made, 'pnglibconf.h'),
    config.replace(/#endif[^#]*$/, (end) => `${undefined_.join('')}${end}`),
  );
  const files = [
    ...cOf(png, /^(example|pngtest|pngwio|pngwrite|pngwtran|pngwutil|pngpread)\.c$/),
    ...named(zlib, ['adler32', 'crc32', 'inffast', 'inflate', 'inftrees', 'zutil']),
  ];
  return { files, include: [made, png, zlib], defines: [] };
}

function webpSources({ webp }) {
  const src = join(webp, 'src');
  const files = [
    ...cOf(join(src, 'dec')),
    ...named(
      join(src, 'dsp'),
      'alpha_processing cpu dec dec_clip_tables filters lossless rescaler upsampling yuv'.split(' '),
    ),
    ...named(join(src, 'utils'), 'bit_reader_utils color_cache_utils filters_utils huffman_utils palette quant_levels_dec_utils random_utils rescaler_utils thread_utils utils'.split(' ')), // biome-ignore format: one line
  ];
  return { files, include: [webp, src], defines: [] };
}

const colourSources = ({ lcms }) => ({
  files: cOf(join(lcms, 'src'), /^cms(cgats|ps2)\.c$/),
  include: [join(lcms, 'include'), join(lcms, 'src')],
  defines: ['CMS_NO_PTHREADS'],
});

/** What each module is made of. Memory is bounded, so that no file takes the machine's. */
const MODULES = {
  jpeg: { of: jpegSources, most: 2 ** 31 },
  png: { of: pngSources, most: 2 ** 31 },
  webp: { of: webpSources, most: 2 ** 31 },
  colour: { of: colourSources, most: 2 ** 28 },
};

function run(program, args, options = {}) {
  const { status, stderr, error, stdout } = spawnSync(program, args, { encoding: 'utf8', ...options });
  if (error || status !== 0)
    throw new Error(`wasm-codecs: ${program} ${args.slice(0, 4).join(' ')}: ${error ?? stderr}`);
  return stdout;
}

/** The folders of the libraries' sources, checked and unpacked. */
async function unpackAll(archives, work) {
  const folders = {};
  for (const [name, { url, sha256 }] of Object.entries(LIBRARIES)) {
    const file = join(archives, basename(url));
    if (!existsSync(file)) {
      const answer = await fetch(url);
      if (!answer.ok)
        throw new Error(`wasm-codecs: ${url}: the archive is there; got ${answer.status}; bring it yourself`);
      writeFileSync(file, Buffer.from(await answer.arrayBuffer()));
    }
    const found = createHash('sha256').update(readFileSync(file)).digest('hex');
    if (found !== sha256)
      throw new Error(`wasm-codecs: ${file}: it has the sum ${sha256}; got ${found}; fetch it anew`);
    folders[name] = join(work, name);
    mkdirSync(folders[name]);
    run('tar', ['xzf', file, '-C', folders[name], '--strip-components=1']);
  }
  return folders;
}

function compile(name, folders, work) {
  const made = join(work, `made-${name}`);
  mkdirSync(made);
  const { of, most } = MODULES[name];
  const { files, include, defines } = of(folders, made);
  const out = join(work, `${name}.wasm`);
  // Zig reads the bound of memory as hexadecimal. Small stacks: nothing here nests deeply, and each file gets an instance of its own.
  const options = ['--target=wasm32-wasi', '-mexec-model=reactor', '-O3', '-msimd128', '-flto', '-s', '-fno-sanitize=all', '-w', '-Wl,-z,stack-size=262144', `-Wl,--max-memory=${most.toString(16)}`]; // biome-ignore format: one line
  const parts = [...defines.map((each) => `-D${each}`), ...include.map((each) => `-I${each}`)];
  run(PYTHON, ['-m', 'ziglang', 'cc', ...options, ...parts, join(PACKAGE, 'wasm', `${name}.c`), ...files, '-o', out]);
  return readFileSync(out);
}

const sourceOf = (name, binary) => {
  const lines = gzipSync(binary, { level: 9 }).toString('base64').match(/.{1,110}/g).map((line) => `  '${line}',`); // biome-ignore format: one line
  return `// Made by scripts/wasm-codecs.mjs of packages/images/wasm/${name}.c.\n\n/** The compiled module, gzip, base64. */\nexport const MODULE: string = [\n${lines.join('\n')}\n].join('');\n`;
};

/** The folder of the C library that comes with the compiler. */
const wasiFolder = () => join(JSON.parse(run(PYTHON, ['-m', 'ziglang', 'env'])).lib_dir, 'libc', 'wasi');

/** The licences' texts, as a file of the package. */
function noticesOf(folders) {
  const parts = LICENCES.map(([name, library, files]) => {
    const texts = files.map((file) => readFileSync(join(folders[library], file), 'utf8').trim());
    return `# ${name}\n\n\`\`\`text\n${texts.join('\n\n')}\n\`\`\`\n`;
  });
  const head =
    'The WebAssembly modules of this package are compiled of these libraries. This software is based in part on the work of the Independent JPEG Group.\n';
  return { path: join(PACKAGE, 'NOTICES.md'), source: [head, ...parts].join('\n') };
}

/** Each file that is made, and what is in it. */
export async function compileCodecs(archives) {
  const version = run(PYTHON, ['-m', 'ziglang', 'version']).trim();
  if (version !== ZIG)
    throw new Error(`wasm-codecs: the compiler is Zig ${ZIG}; got ${version}; pip install ziglang==${ZIG}`);
  const work = mkdtempSync(join(tmpdir(), 'rass-codecs-'));
  try {
    const folders = await unpackAll(archives ?? work, work);
    const modules = Object.keys(MODULES).map((name) => {
      const source = sourceOf(name, compile(name, folders, work));
      return { path: join(PACKAGE, 'src', 'codecs', 'modules', `${name}.ts`), source };
    });
    return [...modules, noticesOf({ ...folders, wasi: wasiFolder() })];
  } finally {
    rmSync(work, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { path, source } of await compileCodecs(process.argv[2])) {
    writeFileSync(path, source);
    console.log(`${basename(path)}: ${source.length} bytes`);
  }
}
