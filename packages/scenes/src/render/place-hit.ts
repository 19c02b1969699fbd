import type { Hit } from './hit.ts';
import type { Ray } from './light.ts';
import { cutoutMasks } from './masks.ts';
import { CUTOUT_STRIDE, type Scene, type Surface } from './scene.ts';
import { MASK_SIDE } from './target.ts';
import type { View } from './view.ts';

/** Fills in the place that a ray meets, and how the surface lies there. */
export function placeHit(hit: Hit, ray: Ray, { scene, view }: { scene: Scene; view: View }, owner: number): void {
  hit.x = view.position[0] + ray.x * ray.distance;
  hit.y = view.position[1] + ray.y * ray.distance;
  hit.z = view.position[2] + ray.z * ray.distance;
  hit.leaf = 0.5;
  if (owner >= scene.surfaces.length) placeOnCutout(hit, scene, owner - scene.surfaces.length);
  else {
    const surface = scene.surfaces[owner];
    hit.tint = surface.tint;
    hit.width = surface.sizeU;
    hit.height = surface.sizeV;
    if (surface.kind === 'plane') placeOnPlane(hit, surface);
    else if (surface.kind === 'cone') placeOnCone(hit, ray, surface);
    else placeOnEllipsoid(hit, ray, surface);
  }
  const facing = ray.x * hit.nx + ray.y * hit.ny + ray.z * hit.nz;
  if (facing > 0 && owner < scene.surfaces.length) {
    hit.nx = -hit.nx;
    hit.ny = -hit.ny;
    hit.nz = -hit.nz;
  }
  // On a slant a pixel covers a long and narrow place; between its length and its width.
  hit.footprint = ray.distance / view.zoom / Math.sqrt(Math.max(0.04, Math.abs(facing)));
}

function placeOnPlane(hit: Hit, { frame }: Surface): void {
  const x = hit.x - frame[0];
  const y = hit.y - frame[1];
  const z = hit.z - frame[2];
  setSides(hit, frame, 3, 6);
  hit.u = x * hit.ux + y * hit.uy + z * hit.uz;
  hit.v = x * hit.vx + y * hit.vy + z * hit.vz;
  hit.nx = frame[9];
  hit.ny = frame[10];
  hit.nz = frame[11];
}

function setSides(hit: Hit, frame: Float64Array, u: number, v: number): void {
  hit.ux = frame[u];
  hit.uy = frame[u + 1];
  hit.uz = frame[u + 2];
  hit.vx = frame[v];
  hit.vy = frame[v + 1];
  hit.vz = frame[v + 2];
}

/** u runs across the bar's visible half, v along the bar. */
function placeOnCone(hit: Hit, ray: Ray, { frame, points, sizeU, sizeV }: Surface): void {
  const [ax, ay, az] = [frame[6], frame[7], frame[8]];
  const x = hit.x - frame[0];
  const y = hit.y - frame[1];
  const z = hit.z - frame[2];
  hit.v = x * ax + y * ay + z * az;
  const long = (points[3] - frame[0]) * ax + (points[4] - frame[1]) * ay + (points[5] - frame[2]) * az;
  const radius = Math.max(1e-4, sizeU + (sizeV - sizeU) * Math.min(1, Math.max(0, hit.v / long)));
  // Across: square to the bar and to the line of sight.
  let [sx, sy, sz] = [ay * ray.z - az * ray.y, az * ray.x - ax * ray.z, ax * ray.y - ay * ray.x];
  const size = Math.max(1e-6, Math.sqrt(sx * sx + sy * sy + sz * sz));
  [sx, sy, sz] = [sx / size, sy / size, sz / size];
  const across = Math.min(0.98, Math.max(-0.98, (x * sx + y * sy + z * sz) / radius));
  const out = Math.sqrt(1 - across * across);
  const [ox, oy, oz] = [sy * az - sz * ay, sz * ax - sx * az, sx * ay - sy * ax];
  const side = ox * ray.x + oy * ray.y + oz * ray.z > 0 ? -out : out;
  hit.nx = sx * across + ox * side;
  hit.ny = sy * across + oy * side;
  hit.nz = sz * across + oz * side;
  [hit.ux, hit.uy, hit.uz] = [sx, sy, sz];
  [hit.vx, hit.vy, hit.vz] = [ax, ay, az];
  hit.u = radius * across * (1 + 0.3 * across * across);
}

function placeOnEllipsoid(hit: Hit, ray: Ray, { frame }: Surface): void {
  const [cx, cy, cz] = [hit.x - frame[0], hit.y - frame[1], hit.z - frame[2]];
  let [a, b, c] = [0, 0, -1];
  for (let axis = 3; axis < 12; axis += 3) {
    const [x, y, z] = [frame[axis], frame[axis + 1], frame[axis + 2]];
    const square = x * x + y * y + z * z;
    const from = (cx * x + cy * y + cz * z) / square;
    const along = (ray.x * x + ray.y * y + ray.z * z) / square;
    a += along * along;
    b += along * from;
    c += from * from;
  }
  // Where the ray only touches, the place that it comes nearest to.
  const back = (-b - Math.sqrt(Math.max(0, b * b - a * c))) / a;
  let [nx, ny, nz] = [0, 0, 0];
  const local = [0.5, 0.5, 0.5];
  for (let axis = 3; axis < 12; axis += 3) {
    const [x, y, z] = [frame[axis], frame[axis + 1], frame[axis + 2]];
    const square = x * x + y * y + z * z;
    const at = ((cx + ray.x * back) * x + (cy + ray.y * back) * y + (cz + ray.z * back) * z) / square;
    local[axis / 3 - 1] = at * Math.sqrt(square);
    [nx, ny, nz] = [nx + (at * x) / square, ny + (at * y) / square, nz + (at * z) / square];
  }
  const size = Math.max(1e-9, Math.sqrt(nx * nx + ny * ny + nz * nz));
  [hit.nx, hit.ny, hit.nz] = [nx / size, ny / size, nz / size];
  setSides(hit, frame, 3, 6);
  hit.u = local[0] + 0.7 * local[2];
  hit.v = local[1] + 0.3 * local[2];
}

function placeOnCutout(hit: Hit, { cutouts }: Scene, index: number): void {
  const { numbers } = cutouts;
  const at = index * CUTOUT_STRIDE;
  hit.nx = numbers[at + 9];
  hit.ny = numbers[at + 10];
  hit.nz = numbers[at + 11];
  hit.tint = numbers[at + 12];
  hit.open = numbers[at + 13];
  const x = hit.x - numbers[at];
  const y = hit.y - numbers[at + 1];
  const z = hit.z - numbers[at + 2];
  hit.leaf = leafAt(numbers, at, x, y, z);
}

/** Which leaf of the mask a place is on. */
function leafAt(numbers: Float32Array, at: number, x: number, y: number, z: number): number {
  const half = MASK_SIDE / 2;
  const share = (axis: number): number => {
    const [a, b, c] = [numbers[axis], numbers[axis + 1], numbers[axis + 2]];
    return (x * a + y * b + z * c) / (a * a + b * b + c * c);
  };
  const p = Math.min(MASK_SIDE - 1, Math.max(0, Math.floor(half + half * share(at + 3))));
  const q = Math.min(MASK_SIDE - 1, Math.max(0, Math.floor(half + half * share(at + 6))));
  return cutoutMasks()[numbers[at + 15]][q * MASK_SIDE + p] / 255;
}
