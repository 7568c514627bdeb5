import django.core.handlers.wsgi

application = django.core.handlers.wsgi.WSGIHandler()
