/* warmup_page.h: what a warm-up renders, on a host (warmup.c) and in a microVM (guest/cdp.c). */
#ifndef BERTH_WARMUP_PAGE_H
#define BERTH_WARMUP_PAGE_H

/* Small and plain: layout of every common kind, the generic fonts, an image, a canvas, some script. */
static const char warmup_page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>.</title><style>body{font:16px/1.4 "
    "sans-serif;margin:2em}"
    "h1{font-family:serif}code{font-family:monospace}.g{display:grid;grid-template-columns:1fr 2fr;gap:8px}"
    ".f{display:flex}b{display:inline-block;transform:rotate(3deg);box-shadow:0 0 4px #888;border-radius:4px}"
    "</style><h1>Heading</h1><p>Some text with <b>bold</b>, <i>italics</i> and <code>code</code>. <a "
    "href='#a'>link</a>"
    "<div class=g><div>one</div><div class=f>two</div></div><ul><li>a<li>b</ul><table><tr><td>1<td>2</table>"
    "<form><input value=x><button>ok</button><select><option>1</select></form><canvas id=c width=40 "
    "height=40></canvas>"
    "<svg width=20 height=20><circle r=8 cx=10 cy=10 /></svg><img alt='' "
    "src='data:image/png;base64,iVBORw0KGgoAAAANSUhE"
    "UgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='><script>"
    "const x=document.getElementById('c').getContext('2d');x.fillRect(2,2,20,20);x.fillText('t',5,30);"
    "document.body.append(document.createElement('p'));JSON.parse(JSON.stringify({a:[1,2,3]}));"
    "Promise.resolve().then(()=>document.querySelector('p').getBoundingClientRect())</script>";

#endif
