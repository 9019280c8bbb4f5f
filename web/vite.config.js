// How the console is built: one page, one script and one style sheet, whose names hold a hash of their content.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  build: {
    // `npm run build` removes what was built before; the file by which git keeps the folder stays.
    emptyOutDir: false,
    // The console's own policy forbids what is inlined as a script or a style.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
});
