from google.appengine.ext import webapp

register = webapp.template.create_template_register()


@register.filter
def shout(value):
    return value.upper()
