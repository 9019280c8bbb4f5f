// How Svelte compiles: with runes, and with types in scripts.
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  compilerOptions: { runes: true },
  preprocess: vitePreprocess(),
};
