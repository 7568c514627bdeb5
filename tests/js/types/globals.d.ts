// What the script finds on a page, and marks of its own.
declare var goog: any;
interface Window { goog: any; }
interface Element { taken_?: boolean; }
interface SVGScriptElement { src: string; }
