// Keeps the page for visits without a network; the model is kept by the runtime itself. FILES and VERSION are put before this when the site is built.
/* global FILES, VERSION */
const NAME = `rass-page-${VERSION}`;

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)));
  self.skipWaiting();
});

self.addEventListener('activate', (event) => {
  const forget = async () => {
    const names = await caches.keys();
    await Promise.all(
      names.filter((name) => name.startsWith('rass-page-') && name !== NAME).map((name) => caches.delete(name)),
    );
    await self.clients.claim();
  };
  event.waitUntil(forget());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const path = new URL(request.url).pathname.slice(new URL(self.registration.scope).pathname.length);
  if (request.method !== 'GET' || !(FILES.includes(path) || request.mode === 'navigate')) return;
  // The page's other files have their content's hash in their names or change with the version.
  event.respondWith(
    caches
      .open(NAME)
      .then(async (cache) => (await cache.match(request.mode === 'navigate' ? './' : request)) ?? fetch(request)),
  );
});
