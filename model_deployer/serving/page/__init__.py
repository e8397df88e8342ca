"""The web page of a service: its HTML, style and modules of JavaScript, and the routes that send them."""
