// Puts the console on its page.
import { mount } from 'svelte';

import App from './App.svelte';
import './app.css';

const target = document.getElementById('app');
// The page is ours, and has it.
if (target) mount(App, { target });
