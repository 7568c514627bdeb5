import os

DEBUG = True
SECRET_KEY = 'for development'
ROOT_URLCONF = 'urls'
TEMPLATE_DIRS = (os.path.join(os.path.dirname(__file__), 'templates'),)
MIDDLEWARE_CLASSES = ('django.middleware.common.CommonMiddleware', 'django.middleware.csrf.CsrfViewMiddleware')
INSTALLED_APPS = ()
